"""The one pass over a collection: scan, read each file once, fingerprint and embed, commit.

Nothing is read twice and nothing is computed twice: a file whose size and time are those of the
last run is not opened, bytes that are known are not decoded, and an image whose embedding is there
is not embedded. Progress is committed in batches, so that a run that was killed goes on where it
was, and ends with the same catalog as one that was not.
"""

import os
import time
from collections.abc import Sequence

from embedkit.backbones import is_current, last_resolved, registry
from embedkit.catalog import Catalog
from embedkit.ingest.network import IngestNetwork
from embedkit.ingest.one_pass import OnePass
from embedkit.ingest.scanning import Source as Source
from embedkit.ingest.scanning import found_table, placed, scan_sources
from embedkit.ingest.scanning import sources_of as sources_of
from embedkit.records import AddReport, ProgressCallback, ResolvedName
from embedkit.version import __version__


def add(
    catalog: Catalog,
    sources: Sequence[Source],
    backbones: Sequence[str],
    *,
    resolved: Sequence[ResolvedName],
    skip: str,
    progress: ProgressCallback,
) -> AddReport:
    """Bring the catalog in line with the photos at ``sources``.

    ``resolved`` are the backbone names that the catalog has, which need not be resolved again
    while their weights file is the same; ``skip`` is a folder that is never scanned. Files that
    cannot be used are in the report; the run goes on. Raises :class:`BadInput` for a named source
    that does not exist, before anything is done, and the errors of
    :func:`embedkit.load_backbone`.
    """
    started = time.monotonic()
    for name in backbones:
        registry.parse(name)
    found, problems = scan_sources(sources, skip, progress)
    remembered = {item.name: item for item in resolved if is_current(item)}
    networks = [
        IngestNetwork(name, remembered.get(name) or last_resolved(name)) for name in backbones
    ]

    places = [(source.path, source.is_file) for source in sources]
    with catalog.write() as writer:
        scopes = writer.scopes(places)
        roots = writer.roots()
        writer.remember_sources({source.path: source.labels_from_folders for source in sources})
        for network in networks:
            writer.remember(network.resolved)
        table = found_table(found, scopes, roots)
        specs = [network.spec.digest for network in networks]
        todo = writer.todo(table, specs)
        known = writer.known_images(specs) if todo else None
    placed_problems = [
        (placed(scopes[number], roots, item.path), item) for number, item in problems
    ]
    embedded, stages = 0, None
    if known is not None:
        one_pass = OnePass(catalog, roots, known, networks)
        stages = one_pass.run(todo, progress)
        embedded = one_pass.embedded

    warnings = tuple(warning for network in networks for warning in network.warnings())
    with catalog.write() as writer:
        scopes = writer.scopes(places)
        writer.settle(scopes, table, placed_problems)
        for network in networks:
            if network.rate:
                writer.set_rate(network.spec.digest, network.rate)
        counts = writer.counts(scopes)
        failures = writer.failures(scopes)
        report = AddReport(
            files=table.num_rows
            + sum(
                os.path.lexists(item.path) and not os.path.isdir(item.path) for _, item in problems
            ),
            images=counts["images"],
            embedded=embedded,
            # Another process may have removed what this one embedded.
            reused=max(0, counts["images"] - embedded),
            failed=len(failures),
            missing=counts["missing"],
            failures=tuple(failures),
            warnings=warnings,
            seconds=time.monotonic() - started,
            rates={network.name: network.rate for network in networks if network.rate},
            stages=stages,
        )
        writer.log_run(
            report.seconds,
            __version__,
            {key: getattr(report, key) for key in ("files", "images", "embedded", "failed")},
        )
    return report
