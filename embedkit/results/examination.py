"""Results of comparing two opened files."""

from dataclasses import dataclass

COPY, DIFFERENT, OPEN = OUTCOMES = ("copy", "different", "open")
"""``open``: a person has to decide."""

CHANGES = {
    "mirrored": "mirrored",
    "rotated": "rotated",
    "stretched": "stretched",
    "grey": "without its colours",
    "cropped": "cropped",
    "blurred": "blurred or enlarged from a small version",
    "recoloured": "brighter, darker or in other colours",
    "quantised": "reduced to a few colours",
    "flattened": "without its transparency",
    "reframed": "tilted, or cut out very differently",
    "framed": "framed",
    "overlaid": "overlaid with something",
    "retouched": "brightened, sharpened or otherwise edited",
    "single": "only the first frame, page or picture",
    "shallow": "reduced to 8 bits per colour",
    "stripped": "without the video, layers or other data that the file contained",
}
"""Changes that a copy may have, each with its phrase for a sentence."""

DAMAGED = "damaged"
"""A truncated file. Not a change of the image, but a copy may have it."""

ALLOWABLE = (*(name for name in CHANGES if name != "overlaid"), DAMAGED)
"""Changes that a person may allow without review; an overlay may be the point of the picture."""


@dataclass(frozen=True)
class Change:
    """A change of one of two copies.

    Attributes
    ----------
    name : str
        Name of the change, such as ``cropped``.
    image : {0, 1, 2}
        The changed image; 0 if the files do not show which.
    """

    name: str
    image: int


@dataclass(frozen=True)
class Examination:
    """The result of opening two files and comparing them point by point.

    Attributes
    ----------
    outcome : {'copy', 'different', 'open'}
        ``copy``: nothing differs except by ``changes``. ``different``: a part as large as a glyph
        or a subject differs. ``open``: a person has to decide.
    changes : tuple of Change
        Changes of one image beyond compression and resizing.
    note : str
        Why the outcome is open, or where the images differ, as a clause.
    resolution : float or None
        Pixels that image 2 resolves for each pixel that image 1 resolves; None if not measured.
    derived : {0, 1, 2}
        The image that was decoded from the other one and compressed again; 0 for neither.
    same_pixels : bool
        Whether the decoded pixels are equal.
    enlarged : {0, 1, 2}
        The image that has more pixels than it resolves, compared with the other; 0 for neither.
    unread : {0, 1, 2}
        The image that could not be opened; 0 for neither or both.
    """

    outcome: str
    changes: tuple[Change, ...] = ()
    note: str = ""
    resolution: float | None = None
    derived: int = 0
    same_pixels: bool = False
    enlarged: int = 0
    unread: int = 0

    def reversed(self) -> "Examination":
        """Return the result for the two images in the other order.

        Returns
        -------
        Examination
            The same result with images 1 and 2 exchanged.
        """
        other = {0: 0, 1: 2, 2: 1}
        return Examination(
            self.outcome,
            tuple(Change(change.name, other[change.image]) for change in self.changes),
            self.note,
            None if self.resolution is None else 1 / self.resolution,
            other[self.derived],
            self.same_pixels,
            other[self.enlarged],
            other[self.unread],
        )
