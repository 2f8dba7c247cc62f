"""What comparing two opened files says of them."""

from dataclasses import dataclass

COPY, DIFFERENT, OPEN = OUTCOMES = ("copy", "different", "open")

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
    "shallow": "reduced to 8 bits a colour",
}
"""What may have been done to a copy, and how a sentence says so."""

DAMAGED = "damaged"
"""What a file is that ends early; no change to an image, but a copy of one may be damaged."""

ALLOWABLE = (*(name for name in CHANGES if name != "overlaid"), DAMAGED)
"""What a person may declare harmless; what was laid over an image may be what matters."""


@dataclass(frozen=True)
class Change:
    """Something that was done to one of two copies and not to the other."""

    name: str
    """One of :data:`CHANGES`."""
    image: int
    """Which of the two it was done to: 1 or 2, or 0 where the files do not tell."""


@dataclass(frozen=True)
class Examination:
    """What comparing two files point by point came to."""

    outcome: str
    """``copy``: nothing differs but by ``changes``; ``different``: a part as large as a glyph or a
    subject differs; ``open``: a person has to look."""
    changes: tuple[Change, ...] = ()
    """What was done to one of them beyond compressing and resizing it."""
    note: str = ""
    """Why it stays open, or where the two differ: a clause."""
    resolution: float | None = None
    """Pixels that the second resolves for each that the first does; None where not measured."""
    derived: int = 0
    """Which of the two was decoded from the other one and compressed again: 1, 2, or 0."""
    same_pixels: bool = False
    """Whether their decoded pixels are equal."""
    enlarged: int = 0
    """Which of the two has more pixels than it resolves, beside the other: 1, 2, or 0."""
    unread: int = 0
    """Which of the two could not be opened: 1, 2, or 0 for neither or both."""

    def reversed(self) -> "Examination":
        """The same of the two in the other order."""
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
