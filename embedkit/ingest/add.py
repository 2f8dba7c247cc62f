"""Ingest: scan folders, read each file once, fingerprint, embed and commit.

Nothing is read or computed twice. A file with the size and time of the last run is not opened,
known bytes are not decoded, and images with an embedding are not embedded again. Progress is
committed in batches: a run that was killed continues where it stopped and ends with the same
catalog as an uninterrupted one.

:func:`add` updates the catalog to the current content of folders. :func:`embed` adds the missing
embeddings of one backbone to the images in the catalog.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial

from embedkit._internal import paths
from embedkit.backbones import registry
from embedkit.backbones.projection import FindProjection, Projections
from embedkit.catalog import Batch, Catalog
from embedkit.images.patterns import Patterns
from embedkit.ingest.labels import FolderLabels
from embedkit.ingest.network import IngestNetwork, resolve_without_network
from embedkit.ingest.pipeline import IngestPipeline, RootFiles, claims_of
from embedkit.ingest.projections import CatalogSample, ensure_projection, reduce_stored
from embedkit.ingest.relocation import adopt
from embedkit.ingest.scanning import (
    Scanned,
    Sources,
    catalog_entry,
    found_table,
    named_inside,
    scan_sources,
)
from embedkit.ingest.scanning import Source as Source
from embedkit.results import (
    AddOptions,
    AddReport,
    Failure,
    ProgressCallback,
    ResolvedName,
    SkippedFiles,
    SmallImage,
)
from embedkit.results.wording import counted
from embedkit.version import __version__

logger = logging.getLogger(__name__)


def add(
    catalog: Catalog,
    sources: Sources,
    backbones: Sequence[str],
    *,
    resolved: Sequence[ResolvedName],
    projections: Projections,
    options: AddOptions,
    new_patterns: Sequence[str],
    skip: str,
    progress: ProgressCallback,
) -> AddReport:
    """Update the catalog to the photos at ``sources``.

    ``resolved`` are the resolved names in the catalog. The projection of a backbone with ``dims=``
    is fitted on the photos, unless ``projections`` has it. ``new_patterns`` are the patterns of
    ``options`` that this call adds. The folder ``skip`` is never scanned. Without ``backbones``
    images are only fingerprinted. Files that cannot be used are listed in the report and do not
    stop the run. Raises :class:`BadInput` for a named source that does not exist, for a new
    pattern that excludes nothing and for too few photos to fit a projection on, and the errors of
    :func:`embedkit.load_backbone`; these are raised before anything is written.
    """
    started = time.monotonic()
    for name in backbones:
        registry.parse(name)
    adopt(catalog, [source.path for source in sources.items])
    labels = FolderLabels(sources.label_folders)
    scanned = scan_sources(sources, labels, Patterns(options.exclude), skip, progress)
    scanned.check_used(new_patterns)
    sample = CatalogSample(catalog, progress, scanned.found, options)
    fitted = {
        name: info
        for name in backbones
        if (info := ensure_projection(name, resolved, projections, sample, progress)) is not None
    }
    find = projections.find
    networks = [
        IngestNetwork(name, resolve_without_network(name, resolved, find), progress, find)
        for name in backbones
    ]

    if catalog.exists:
        for network in networks:
            reduce_stored(catalog, network.resolved, find, progress)
    places = [(source.path, source.is_file) for source in sources.items]
    with catalog.write() as writer:
        scopes = writer.folders.scopes(places)
        roots = writer.reader.folders.roots()
        writer.folders.add_sources(
            {source.path: source.labels_from_folders for source in sources.items}
        )
        writer.runs.set_options(options)
        for network in networks:
            writer.backbones.register(network.resolved)
        table = found_table(scanned.found, scopes, roots)
        specs = [network.spec.digest for network in networks]
        todo = writer.reader.files.pending(table, specs, options)
        logger.debug("%d files found, %d of them to read", table.num_rows, len(todo))
        known = writer.reader.images.known(specs, options) if todo else None
    problems = [
        (catalog_entry(scopes[number], roots, item.path), item) for number, item in scanned.problems
    ]
    excluded = [
        catalog_entry(scopes[number], roots, item.path) for number, item in scanned.excluded
    ]
    named = named_inside((item.path for _, item in scanned.excluded), sources.known)
    unlisted = [item.path for _, item in scanned.problems if os.path.isdir(item.path)]
    embedded, fingerprinted, stages = 0, 0, None
    warnings: list[str] = []
    if known is not None:
        pipeline = IngestPipeline(
            RootFiles(roots), claims_of(known), networks, partial(_commit, catalog), options
        )
        stages = pipeline.run(todo, progress, "embedding" if networks else "fingerprinting")
        embedded, fingerprinted = pipeline.embedded, pipeline.fingerprinted
        warnings += pipeline.warnings()

    warnings += [warning for network in networks for warning in network.warnings()]
    warnings += [*sources.warnings, *labels.warnings(), *scanned.warnings()]
    with catalog.write() as writer:
        scopes = writer.folders.scopes(places)
        named_scopes = [scope for path in named for scope in writer.reader.folders.scopes_at(path)]
        warnings += writer.files.apply_scan(scopes, table, problems, excluded, named_scopes)
        for network in networks:
            if network.rate:
                writer.backbones.set_rate(network.spec.digest, network.rate)
        unchecked = [scope for path in unlisted for scope in writer.reader.folders.scopes_at(path)]
        counts = writer.reader.files.counts(scopes, unchecked)
        failures = writer.reader.failures.all(scopes)
        if kept := writer.reader.files.counts(unchecked)["files"]:
            warnings.append(
                f"{counted(kept, 'known photo')} below folders that cannot be listed stay in the "
                "workspace unchanged and are not counted in this report"
            )
        report = AddReport(
            files=table.num_rows
            + sum(
                os.path.lexists(item.path) and not os.path.isdir(item.path)
                for _, item in scanned.problems
            ),
            images=counts["images"],
            embedded=embedded,
            fingerprinted=fingerprinted,
            # Another process may have removed images that this one added.
            reused=max(0, counts["images"] - (embedded if networks else fingerprinted)),
            failed=len(failures),
            missing=counts["missing"],
            failures=tuple(failures),
            warnings=tuple(warnings),
            seconds=time.monotonic() - started,
            rates={network.name: network.rate for network in networks if network.rate},
            stages=stages,
            options=options,
            skipped=_skipped(scanned, writer.reader.failures.small_images(scopes)),
            truncated=tuple(writer.reader.failures.truncated_files(scopes)),
            fitted=fitted,
        )
        writer.runs.log(
            report.seconds,
            __version__,
            {key: getattr(report, key) for key in ("files", "images", "embedded", "failed")},
        )
    return report


def _skipped(scanned: Scanned, small: Sequence[SmallImage]) -> SkippedFiles:
    """Return the skipped files of a scan for the report."""
    excluded = Counter(item.patterns[0] for _, item in scanned.excluded)
    return SkippedFiles(
        by_name=dict(sorted(scanned.by_name.items(), key=lambda item: (-item[1], item[0]))),
        excluded=dict(excluded),
        small=tuple(small),
    )


def embed(
    catalog: Catalog, backbone: ResolvedName, find: FindProjection, progress: ProgressCallback
) -> tuple[int, list[Failure]]:
    """Embed the images without an embedding of ``backbone``; return their number and the failures.

    ``find`` finds the projection of a backbone with ``dims=``.

    No folder is scanned and the files in the catalog are not updated: files that cannot be read or
    have changed are reported and left to the next :func:`add`. Nothing is written when no embedding
    is missing. Raises the errors of :func:`embedkit.load_backbone`.
    """
    spec = backbone.spec.digest
    reduce_stored(catalog, backbone, find, progress, added=False)
    with catalog.read() as reader:
        registered = {(item.name, item.spec.digest) for item in reader.backbones.all()}
        roots, todo = reader.folders.roots(), reader.files.without_embedding(spec)
        # Images in the catalog are embedded regardless of the current options of add.
        options = AddOptions(tolerate_truncated=True)
        known = reader.images.known([spec], options) if todo else None
    if (backbone.name, spec) not in registered:
        with catalog.write() as writer:  # an error of writing is raised before any photo is read
            if known is None:
                writer.backbones.register(backbone, added=False)
    if known is None:
        return 0, []

    embedded = 0
    failures: list[Failure] = []

    def store(batch: Batch) -> None:
        nonlocal embedded
        changed = "it has changed since it was added; add it again"
        changed_files = [
            (file, "read", changed) for file, sha in batch.files if known.mask(sha) is None
        ]
        for file, stage, reason in batch.failures + changed_files:
            failures.append(
                Failure(paths.absolute_path(roots[file.root_id], file.path), stage, reason)
            )
        if any(image.embeddings for image in batch.images):
            with catalog.write() as writer:
                writer.backbones.register(backbone, added=False)
                embedded += writer.embeddings.store(spec, batch.images)

    network = IngestNetwork(backbone.name, backbone, progress, find)
    pipeline = IngestPipeline(RootFiles(roots), claims_of(known), [network], store, options)
    pipeline.run(todo, progress, stage=f"embedding with {backbone.name}")
    if embedded:
        with catalog.write() as writer:
            writer.backbones.set_rate(spec, network.rate)
    return embedded, failures


def _commit(catalog: Catalog, batch: Batch) -> None:
    with catalog.write() as writer:
        writer.commit(batch)
