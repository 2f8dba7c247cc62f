"""Files that could not be used or were skipped, and the options of the last add."""

from collections.abc import Sequence

from embedkit._internal import paths
from embedkit.catalog.records import Scope
from embedkit.catalog.session import Session
from embedkit.catalog.sql import inside
from embedkit.images.scan import FoundFile
from embedkit.images.version import DECODER, TOLERANT_DECODER
from embedkit.results import ADD_ALL, AddOptions, Failure, SmallImage, TruncatedFile


class FailureReader:
    """Queries about failed, small and truncated files."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def all(self, scopes: Sequence[Scope] | None = None) -> list[Failure]:
        """Return the files that could not be used, by path; with ``scopes``, only those inside."""
        where = "" if scopes is None else f"AND {inside('x', scopes)}"
        return sorted(
            (
                Failure(paths.absolute_path(paths.from_stored(row[0]), row[1]), row[2], row[3])
                for row in self._session.rows(
                    f"""SELECT r.path, x.path, stage, reason FROM failures x, roots r
                        WHERE r.root_id = x.root_id {where}"""
                )
            ),
            key=lambda failure: failure.path,
        )

    def undecodable(self) -> list[FoundFile]:
        """Return the files that this version of the decoder could not decode completely, by path.

        Truncated files are included. Sizes and times are those of the last add.
        """
        found = [
            FoundFile(paths.absolute_path(paths.from_stored(root), path), size, mtime_ns)
            for root, path, size, mtime_ns in self._session.rows(
                """SELECT r.path, x.path, bytes, mtime_ns FROM failures x JOIN roots r
                   USING (root_id)
                   WHERE stage = 'decode' AND list_contains($decoders, decoder)
                   UNION ALL SELECT r.path, f.path, bytes, mtime_ns FROM files f JOIN roots r
                   USING (root_id) SEMI JOIN truncated USING (image_id)
                   WHERE NOT missing AND NOT broken""",
                {"decoders": [DECODER, TOLERANT_DECODER]},
            )
        ]
        return sorted(found, key=lambda file: file.path)

    def small_images(self, scopes: Sequence[Scope]) -> list[SmallImage]:
        """Return the files inside scopes whose image is below the minimum size, by path."""
        found = [
            SmallImage(paths.absolute_path(paths.from_stored(root), path), width, height)
            for root, path, width, height in self._session.rows(
                f"""SELECT r.path, x.path, width, height FROM small_files x JOIN roots r
                    USING (root_id) WHERE {inside("x", scopes)}"""
            )
        ]
        return sorted(found, key=lambda item: item.path)

    def truncated_files(self, scopes: Sequence[Scope] | None = None) -> list[TruncatedFile]:
        """Return the tolerated truncated files, by path; with ``scopes``, only those inside."""
        where = "true" if scopes is None else inside("f", scopes)
        found = [
            TruncatedFile(paths.absolute_path(paths.from_stored(root), path), share)
            for root, path, share in self._session.rows(
                f"""SELECT r.path, f.path, share FROM files f JOIN roots r USING (root_id)
                    JOIN truncated USING (image_id) WHERE NOT missing AND NOT broken AND {where}"""
            )
        ]
        return sorted(found, key=lambda item: item.path)


class RunReader:
    """Queries about runs of add."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def last_options(self) -> AddOptions:
        """Return the options of the last add."""
        for exclude, min_size, tolerate in self._session.rows("FROM add_options"):
            return AddOptions(tuple(map(paths.from_stored, exclude)), min_size, tolerate)
        return ADD_ALL
