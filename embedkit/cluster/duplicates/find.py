"""The search for duplicates in a store."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from embedkit.cluster.duplicates import cells as coarse
from embedkit.cluster.duplicates.groups import (
    GroupedPart,
    decode_part,
    group_part,
    identical_pairs,
)
from embedkit.cluster.duplicates.hashes import join_hashes, joins
from embedkit.cluster.duplicates.locate import locate
from embedkit.cluster.duplicates.merge import images_to_decode, merge, same_looks
from embedkit.cluster.duplicates.order import Numbering, number_images
from embedkit.cluster.duplicates.place import Placed, Probe, place_images, place_vectors
from embedkit.cluster.duplicates.present import present_groups
from embedkit.cluster.duplicates.result import (
    findings_dataset,
    groups_dataset,
    pairs_dataset,
    stored_result,
    tidy_result,
    write_result,
)
from embedkit.cluster.duplicates.run import Run
from embedkit.cluster.duplicates.score import (
    Sent,
    compare_part,
    compare_received,
    send_candidates,
)
from embedkit.cluster.duplicates.scoring import Scoring
from embedkit.cluster.duplicates.tasks import Tasks
from embedkit.cluster.duplicates.write import write_groups, write_rows
from embedkit.cluster.store import StoreContent
from embedkit.cluster.verdicts import duplicates_of
from embedkit.duplicates.kinds import PIXELS, SEMANTIC, Limits
from embedkit.duplicates.pair_search import (
    HASH_BITS,
    DuplicateOptions,
    candidate_limits,
    expected_chance_pairs,
)
from embedkit.duplicates.pixels import MAX_PIXEL_BITS
from embedkit.duplicates.semantic import distances_of_sample, sampled_places
from embedkit.errors import BadInput, EmptyWorkspace
from embedkit.results import DuplicateGroup, EmbeddingSpec, StoreDuplicates

FOLDER = "runs"
PREFIX = "duplicates-"
_PROBED = 256
"""Number of sampled images that are compared with all others, to measure the recall."""
_FINGERPRINT_BYTES = 650
"""Size of what travels with an image, except its vector."""


def stored_groups(store: StoreContent) -> Iterator[DuplicateGroup]:
    """Yield the groups of the last search, the best score first, then by path.

    They have the present verdicts, labels and files: see
    :mod:`embedkit.cluster.duplicates.present`.
    """
    found = stored_result(store)
    if found is not None:
        yield from present_groups(store, found, store.current_verdicts())


def find_duplicates(
    store: StoreContent,
    spec: EmbeddingSpec | None,
    options: DuplicateOptions,
    tasks: Tasks,
) -> StoreDuplicates:
    """Find the duplicates among the images of a store, and store their groups and pairs.

    ``spec`` is that of the compared embeddings; None compares fingerprints only.
    The images and thresholds are those of :func:`embedkit.duplicates.find.find_duplicates`; files
    that cannot be opened leave their pairs for review. The store's verdicts are applied. A run that
    is killed leaves the last result.
    """
    with store.writing("duplicates"):
        runs = store.location / FOLDER
        remove_runs(store)
        tidy_result(store)
        folder = runs / f"{PREFIX}{secrets.token_hex(8)}"
        with folder.errors():
            folder.filesystem.makedirs(folder.path, exist_ok=True)
        try:
            return _Search(store, spec, options, tasks, folder.place).run()
        finally:
            folder.remove()


def remove_runs(store: StoreContent) -> None:
    """Remove what searches that were killed left behind."""
    runs = store.location / FOLDER
    for name in runs.names():
        if name.startswith(PREFIX):
            (runs / name).remove()


class _Search:
    def __init__(
        self,
        store: StoreContent,
        spec: EmbeddingSpec | None,
        options: DuplicateOptions,
        tasks: Tasks,
        folder: str,
    ) -> None:
        if options.hash_bits != HASH_BITS[0]:
            raise BadInput("a store compares hashes of 64 bits; leave out the number of bits")
        images = store.images.open()
        files = store.files.open()
        if images is None or files is None or not images.count_rows():
            raise EmptyWorkspace(
                f"{store.location} has no photos; run 'embedkit add PHOTOS --store "
                f"{store.argument} --on ray'"
            )
        vectors = None if spec is None else store.embeddings(spec).open()
        if SEMANTIC in options.kinds and (vectors is None or not vectors.count_rows()):
            raise EmptyWorkspace(
                "the kind semantic compares embeddings, and no photos are embedded yet; run "
                f"'embedkit add PHOTOS --store {store.argument} --on ray'"
            )
        self._store = store
        self._verdicts = store.current_verdicts()
        self._options = options
        self._tasks = tasks
        self._run = Run(
            store.location.place,
            folder,
            spec,
            files.version,
            images.version,
            0 if vectors is None else vectors.version,
        )

    def run(self) -> StoreDuplicates:
        """Search, and store the result."""
        run, tasks, options = self._run, self._tasks, self._options
        numbering = self._number()
        sampled = len(sampled_places(numbering.embedded))
        distribution = distances_of_sample(numbering.sample[:sampled], numbering.embedded)
        limits = candidate_limits(options, numbering.count, distribution)
        dim = numbering.sample.shape[1]
        parts = coarse.part_count(
            numbering.count, _FINGERPRINT_BYTES + 4 * dim, tasks.workers.count
        )
        scoring = Scoring(
            options, limits, distribution.median, numbering.count, numbering.embedded, parts
        )
        placed, hashed, looks, own_cells, recall = self._place(numbering, scoring)
        # Files of different formats with the same pixels are found by their hashes.
        bits = max(limits.bits, MAX_PIXEL_BITS) if PIXELS in options.kinds else limits.bits
        candidates = [
            name
            for name, _ in tasks.run(
                "comparing perceptual hashes",
                join_hashes,
                [
                    (run, join, hashed, parts)
                    for join in joins(
                        numbering.count, bits, limits.oriented_bits, tasks.workers.count
                    )
                ],
            )
        ]
        received: tuple[list[str], list[str]] = ([], [])
        if candidates:
            received = _by_kind(
                tasks.run(
                    "sending candidates",
                    send_candidates,
                    [(run, part, placed, candidates, scoring) for part in range(parts)],
                )
            )
        compared = tasks.run(
            "comparing embeddings",
            compare_part,
            [
                (run, part, own_cells[part], placed, candidates, received, scoring)
                for part in range(parts)
            ],
        )
        run.exchange.remove([*candidates, *hashed, *received[0], *received[1]])
        sent = _by_kind([names for _, names in compared])
        scored = [name for name, _ in compared]
        scored += tasks.run(
            "scoring pairs",
            compare_received,
            [(run, part, placed, sent, scoring) for part in range(parts)],
        )
        run.exchange.remove([*placed.files, *sent[0], *sent[1]])
        identical = self._identical(numbering, scored, looks, parts)
        (merged,) = tasks.run(
            "merging pairs",
            merge,
            [
                (
                    run,
                    scored,
                    identical,
                    numbering.numbered,
                    duplicates_of(self._verdicts.on_groups),
                )
            ],
        )
        ((located, sets),) = tasks.run(
            "looking up files", locate, [(run, numbering.numbered, merged.images, True)]
        )
        grouped = tasks.run(
            "grouping",
            group_part,
            [
                (
                    run,
                    part,
                    merged.pairs if part < merged.sets else None,
                    located,
                    scoring,
                    self._verdicts,
                )
                for part in range(sets)
            ],
        )
        result = StoreDuplicates(
            groups=sum(part.formed for part in grouped),
            copies=0,
            pairs=merged.count,
            images=numbering.count,
            embedded=numbering.embedded,
            kinds=options.kinds,
            max_hamming=limits.duplicates.hamming,
            hash_bits=options.hash_bits,
            any_orientation=options.any_orientation,
            max_distance=limits.duplicates.distance,
            min_score=limits.duplicates.score,
            chance_hamming=expected_chance_pairs(options, limits, numbering.count),
            chance_distance=distribution.chance_pairs(limits.duplicates.distance),
            recall=recall,
            examined=sum(part.examined for part in grouped),
        )
        return self._write(result, limits.duplicates, grouped)

    def _number(self) -> Numbering:
        images = self._run.opened("images").count_rows()
        sample = coarse.SAMPLE_PER_CELL * coarse.cell_count(images)
        (numbering,) = self._tasks.run(
            "numbering images", number_images, [(self._run, self._tasks.workers.count, sample)]
        )
        return numbering

    def _place(
        self, numbering: Numbering, scoring: Scoring
    ) -> tuple[Placed, list[str], tuple[list[str], list[str]], list[np.ndarray], float]:
        """Place all images; return their files, those of hashes and looks, cells and recall."""
        run, tasks, parts = self._run, self._tasks, scoring.parts
        vectors: list[str] = []
        visiting: list[str] = []
        places: list[str] = []
        own_cells = [np.empty(0, np.int32)] * parts
        recall = 1.0
        if numbering.embedded > 1:
            (cells,) = tasks.run(
                "dividing embeddings",
                coarse.make_cells,
                [(numbering.sample, numbering.embedded, parts)],
            )
            own_cells = [
                np.flatnonzero(cells.part == part).astype(np.int32) for part in range(parts)
            ]
            sample = numbering.sample[:_PROBED]
            probe = Probe(
                numbering.sample_numbers[:_PROBED],
                sample,
                cells.nearest(sample),
                scoring.limits.distance,
            )
            everywhere = tasks.workers.share(cells), tasks.workers.share(probe)
            written = tasks.run(
                "placing embeddings",
                place_vectors,
                [
                    (
                        run,
                        block,
                        number,
                        numbering.vector_numbers,
                        *everywhere,
                        len(numbering.image_blocks),
                        parts,
                    )
                    for number, block in enumerate(numbering.vector_blocks)
                ],
            )
            vectors = [name for name, *_ in written]
            visiting = [name for _, name, *_ in written]
            places = [name for _, _, name, _ in written]
            near = sum(count for *_, (count, _) in written)
            found = sum(count for *_, (_, count) in written)
            recall = found / near if near else 1.0
        rows = tasks.run(
            "placing fingerprints",
            place_images,
            [
                (run, block, number, numbering.image_numbers, places, parts)
                for number, block in enumerate(numbering.image_blocks)
            ],
        )
        images, outlined, hashed, looks, faint = (list(names) for names in zip(*rows, strict=True))
        placed = Placed(images, vectors, outlined, visiting)
        return placed, hashed, (looks, faint), own_cells, recall

    def _identical(
        self,
        numbering: Numbering,
        scored: list[str],
        looks: tuple[list[str], list[str]],
        parts: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs of pixel-identical images, whose files are opened."""
        run, tasks = self._run, self._tasks
        if PIXELS not in self._options.kinds:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        alike = tasks.run(
            "comparing looks", same_looks, [(run, part, *looks) for part in range(parts)]
        )
        alike += tasks.run("comparing looks", images_to_decode, [(run, scored)])
        wanted = np.unique(np.concatenate(alike))
        if not len(wanted):
            return wanted, wanted
        ((located, count),) = tasks.run(
            "looking up files", locate, [(run, numbering.numbered, wanted, False)]
        )
        return identical_pairs(
            tasks.run(
                "comparing pixels", decode_part, [(run, part, located) for part in range(count)]
            )
        )

    def _write(
        self, result: StoreDuplicates, limits: Limits, grouped: Sequence[GroupedPart]
    ) -> StoreDuplicates:
        """Store the result."""
        run, tasks, store = self._run, self._tasks, self._store
        (pairs,) = tasks.run(
            "writing pairs",
            write_rows,
            [(run, pairs_dataset(store), [part.pairs for part in grouped])],
        )
        (findings,) = tasks.run(
            "writing findings",
            write_rows,
            [(run, findings_dataset(store), [part.findings for part in grouped])],
        )
        ((groups, members),) = tasks.run(
            "writing groups",
            write_groups,
            [(run, groups_dataset(store), [part.groups for part in grouped])],
        )
        result = replace(result, copies=members - result.groups)
        write_result(
            store, result, limits, self._verdicts, pairs=pairs, findings=findings, groups=groups
        )
        return result


def _by_kind(sent: Sequence[Sent]) -> tuple[list[str], list[str]]:
    """Return the names of the files with images for other parts, and of those with the pairs."""
    return [images for images, _ in sent], [pairs for _, pairs in sent]
