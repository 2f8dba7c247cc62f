"""The namespace ``workspace.verdicts``."""

from embedkit.errors import BadInput
from embedkit.search.queries import digest_of
from embedkit.workspace.state import StrPath, WorkspaceBase


class Verdicts(WorkspaceBase):
    """Verdicts: decisions of a person about photos.

    A verdict belongs to the bytes of the photos: it still applies after they are renamed, and to
    files with the same bytes that are added later.
    """

    def set(self, verdict: str, image: StrPath, other: StrPath | None = None) -> None:
        """Store a verdict about two photos or one.

        Parameters
        ----------
        verdict : {'duplicate', 'different', 'keep'}
            ``duplicate``: two photos show the same picture. ``different``: they do not. ``keep``:
            every plan keeps the photo.
        image : str or path-like
            The photo.
        other : str or path-like, optional
            The second photo, for all verdicts except ``keep``.

        Raises
        ------
        BadInput
            The verdict is unknown or has the wrong number of photos, a photo cannot be read, or
            both files have the same bytes.

        Examples
        --------
        >>> workspace.verdicts.set("different", "a.jpg", "b.jpg")  # doctest: +SKIP
        >>> workspace.verdicts.set("keep", "a.jpg")                # doctest: +SKIP
        """
        self._store(verdict, image, other)

    def clear(self, image: StrPath, other: StrPath | None = None) -> None:
        """Remove the verdict about two photos or one.

        Parameters
        ----------
        image : str or path-like
            The photo of the verdict.
        other : str or path-like, optional
            The second photo, if the verdict is about two.

        Raises
        ------
        BadInput
            A photo cannot be read, or both files have the same bytes.
        """
        self._store(None, image, other)

    def _store(self, verdict: str | None, image: StrPath, other: StrPath | None) -> None:
        from embedkit.duplicates.groups import check_verdict

        check_verdict(verdict, 1 if other is None else 2)
        self._catalog.require()
        first = digest_of(image, must_decode=True)
        second = None if other is None else digest_of(other, must_decode=True)
        if first == second:
            raise BadInput("these two files have the same bytes; a verdict needs different photos")
        with self._catalog.write() as writer:
            if verdict is None:
                writer.verdicts.clear(first, second)
            else:
                writer.verdicts.set(first, second, verdict)
