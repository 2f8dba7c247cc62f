"""The result of the last search for duplicates in a store.

It consists of four datasets: the groups; the pairs that they were formed from; what was found in
the files that were opened; and the verdicts that were applied. The groups are committed last, and
name the versions of the others. So a reader gets the datasets of one search, even if the next one
was killed between two commits.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from embedkit.cluster.duplicates.findings import FINDINGS, Findings
from embedkit.cluster.duplicates.groups import MEMBERS, SCORED_PAIRS
from embedkit.cluster.labels import rows_of_images
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import VERDICTS, Dataset
from embedkit.cluster.verdicts import CurrentVerdicts
from embedkit.duplicates.examiner import EXAMINATION_VERSION
from embedkit.duplicates.kinds import Limits
from embedkit.results import StoreDuplicates

_REPORT_KEY = b"embedkit.duplicates"
"""Key of the report, JSON, in the metadata of the schema of the groups."""
_PARTS_KEY = b"embedkit.duplicates.parts"
"""Key of the versions of the other datasets, of the limits, and of the examinations' version."""


def groups_dataset(store: StoreContent) -> Dataset:
    """Return the dataset of the groups of duplicates."""
    return store.dataset(store.location / "duplicates.lance", MEMBERS)


def pairs_dataset(store: StoreContent) -> Dataset:
    """Return the dataset of the pairs of images that may be copies."""
    return store.dataset(store.location / "duplicate-pairs.lance", SCORED_PAIRS)


def findings_dataset(store: StoreContent) -> Dataset:
    """Return the dataset of what was found in the files that were opened."""
    return store.dataset(store.location / "duplicate-findings.lance", FINDINGS)


def verdicts_dataset(store: StoreContent) -> Dataset:
    """Return the dataset of the verdicts that were applied."""
    return store.dataset(store.location / "duplicate-verdicts.lance", VERDICTS)


def _parts(store: StoreContent) -> dict[str, Dataset]:
    """Return the datasets whose versions the groups name, in the order of their commits."""
    return {
        "pairs": pairs_dataset(store),
        "findings": findings_dataset(store),
        "verdicts": verdicts_dataset(store),
    }


@dataclass(frozen=True, eq=False)
class StoredResult:
    """The result of the last search, which later searches do not change."""

    report: StoreDuplicates
    groups: Dataset
    """One version of the groups, with rows of :data:`MEMBERS`."""
    limits: Limits
    """The limits of duplicates."""
    versions: dict[str, int]
    """Versions of the other datasets."""
    examination: str
    """Version of the examinations."""
    _parts: dict[str, Dataset]

    def part(self, name: str) -> Dataset:
        """Return the ``pairs``, ``findings`` or ``verdicts`` of the search."""
        return self._parts[name].at_version(self.versions[name])

    def verdicts(self) -> CurrentVerdicts:
        """Return the verdicts that were applied."""
        return CurrentVerdicts.of(self.part("verdicts"))

    def findings(self, digests: Iterable[bytes]) -> Findings:
        """Return what was found in the files of images, by SHA-256.

        There is none of another version of embedkit's examinations.
        """
        if self.examination != EXAMINATION_VERSION:
            return Findings()
        found = self.part("findings")
        return Findings.of_tables(
            rows_of_images(found, digests, FINDINGS.names, "true", key="first")
        )


def stored_result(store: StoreContent) -> StoredResult | None:
    """Return the result of the last search; None if there was none."""
    groups = groups_dataset(store).at_present()
    dataset = groups.open()
    metadata = {} if dataset is None else dataset.schema.metadata or {}
    if _PARTS_KEY not in metadata:
        return None
    values = json.loads(metadata[_REPORT_KEY])
    parts = json.loads(metadata[_PARTS_KEY])
    return StoredResult(
        StoreDuplicates(**values | {"kinds": tuple(values["kinds"])}),
        groups,
        Limits(**parts["limits"]),
        parts["versions"],
        parts["examination"],
        _parts(store),
    )


def write_result(
    store: StoreContent,
    report: StoreDuplicates,
    limits: Limits,
    verdicts: CurrentVerdicts,
    *,
    pairs: Sequence[str],
    findings: Sequence[str],
    groups: Sequence[str],
) -> None:
    """Store the result of a search; the rows are in files that the workers have written."""
    columns = (dict(zip(VERDICTS.names, row, strict=True)) for row in verdicts.rows)
    rows = pa.Table.from_pylist(list(columns), VERDICTS)
    parts = _parts(store)
    fragments = {
        "pairs": pairs,
        "findings": findings,
        "verdicts": parts["verdicts"].write_fragments(rows, replacing=True),
    }
    versions = {name: parts[name].replace(fragments[name]) for name in parts}
    described = {
        "versions": versions,
        "limits": asdict(limits),
        "examination": EXAMINATION_VERSION,
    }
    metadata = {
        _REPORT_KEY: json.dumps(asdict(report)).encode(),
        _PARTS_KEY: json.dumps(described).encode(),
    }
    store.dataset(groups_dataset(store).location, MEMBERS.with_metadata(metadata)).replace(groups)


def tidy_result(store: StoreContent) -> None:
    """Remove earlier results, except those of the last day.

    The latest version of a dataset always stays. If it is not the one that the groups name, because
    a search was killed, all versions stay. A search calls this before it writes, so that those who
    read the result then have at least as long as the search takes.
    """
    found = stored_result(store)
    if found is None:
        return
    groups_dataset(store).remove_old_versions()
    for name, dataset in _parts(store).items():
        latest = dataset.open()
        if latest is not None and latest.version == found.versions[name]:
            dataset.remove_old_versions()
