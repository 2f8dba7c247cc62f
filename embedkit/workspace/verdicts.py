"""The namespace ``workspace.verdicts``."""

from pathlib import Path

from embedkit._internal.paths import absolute, shown
from embedkit.ingest import verdicts
from embedkit.results import VerdictList, VerdictReport
from embedkit.search.queries import digest_in
from embedkit.workspace.state import StrPath, WorkspaceBase


class Verdicts(WorkspaceBase):
    """Verdicts: decisions of a person about photos.

    A verdict belongs to the bytes of the photos: it still applies after they are renamed, and to
    files with the same bytes that are added later. A photo can have one verdict on its label
    (``right``, ``relabel``, ``both`` or ``unsure``) and one on whether it stays (``keep``,
    ``off-topic`` or ``poor``); a new verdict replaces the earlier one.
    """

    def set(
        self,
        verdict: str,
        image: StrPath,
        other: StrPath | None = None,
        *,
        new_label: bool = False,
    ) -> None:
        """Store a verdict about two photos or one.

        Parameters
        ----------
        verdict : str
            About two photos: ``duplicate`` (they show the same picture) or ``different``.

            About the label of one photo: ``right`` (the label of its folder or CSV is right),
            ``relabel=LABEL`` (its label is LABEL), ``both`` (all its labels are true) or
            ``unsure``.

            About one photo: ``keep`` (every plan keeps it), ``off-topic`` (it does not belong to
            the collection) or ``poor`` (its quality is too low).
        image : str or path-like
            The photo.
        other : str or path-like, optional
            The second photo, for ``duplicate`` and ``different``.
        new_label : bool, default False
            Whether LABEL may be a label that no photo has yet.

        Raises
        ------
        BadInput
            The verdict is unknown or has the wrong number of photos, a photo cannot be read, both
            files have the same bytes, no photo has the label, or a photo has several labels and the
            verdict is ``right``.

        Notes
        -----
        ``relabel`` changes the label wherever embedkit reads labels. The labels from folders and
        CSV files stay stored, and apply again when the verdict is cleared.

        Examples
        --------
        >>> workspace.verdicts.set("different", "a.jpg", "b.jpg")  # doctest: +SKIP
        >>> workspace.verdicts.set("keep", "a.jpg")                # doctest: +SKIP
        >>> workspace.verdicts.set("relabel=temple", "a.jpg")      # doctest: +SKIP
        """
        verdicts.parse_verdict(verdict, 1 if other is None else 2)
        paths = [path for path in (image, other) if path is not None]
        digests = [digest_in(self._catalog, path) for path in paths]
        with self._catalog.read() as reader:
            known = reader.images.ids(digests)
        for path, digest in zip(paths, digests, strict=True):
            if digest not in known:
                digest_in(self._catalog, path, must_decode=True)
        images = list(zip(digests, (shown(str(path)) for path in paths), strict=True))
        verdicts.set_verdict(self._catalog, verdict, images, new_label=new_label)

    def clear(self, image: StrPath, other: StrPath | None = None) -> int:
        """Remove the verdicts about one photo, or the verdict about two.

        Parameters
        ----------
        image : str or path-like
            The photo of the verdict.
        other : str or path-like, optional
            The second photo, if the verdict is about two.

        Returns
        -------
        int
            Number of verdicts that were removed.

        Raises
        ------
        BadInput
            A photo cannot be read.
        """
        self._catalog.require()
        first = digest_in(self._catalog, image)
        second = None if other is None else digest_in(self._catalog, other)
        with self._catalog.write() as writer:
            return writer.verdicts.clear(first, second)

    def list(self) -> VerdictList:
        """Return the stored verdicts, in the order of the decisions.

        Returns
        -------
        VerdictList
            The verdicts, including those about photos that the workspace does not contain.
        """
        return verdicts.stored_verdicts(self._catalog)

    def from_csv(self, path: StrPath, *, new_label: bool = False) -> VerdictReport:
        """Store the verdicts about single photos in a CSV: all of them, or none.

        The CSV has the columns ``verdict``, and ``path`` or ``sha256``, which decides if there are
        both. Rows without a verdict are skipped. The verdict ``suggested`` stands for ``relabel``
        with the label in the column ``suggestion``; for ``off-topic`` or ``poor`` in a table of
        such a review. Other columns are ignored.

        Parameters
        ----------
        path : str or path-like
            The CSV, in UTF-8 or UTF-16, with commas, semicolons or tabs. Relative paths in it start
            at its folder.
        new_label : bool, default False
            Whether ``relabel`` may give labels that no photo has yet.

        Returns
        -------
        VerdictReport
            Numbers of stored verdicts and of rows without a verdict.

        Raises
        ------
        BadInput
            The table cannot be read, or a row has an unknown verdict, photo or label, or
            contradicts an earlier row about the same photo. The message contains the line.
        """
        return verdicts.verdicts_from_csv(self._catalog, Path(absolute(path)), new_label=new_label)
