"""The look shared by the drawings of a family, and the surface that they are drawn on."""

from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

from trust.writing import Writing, font

WIDE = 1000
"""Width of a drawing in units, whatever its width in pixels."""
LEAST_TEXT = 14
"""Smallest text, pixels: a changed glyph stays legible when a drawing is saved smaller."""
LIGHT = (
    ("#ffffff", "#000000", "#888888", "#204080"),
    ("#fbf7ea", "#2a2418", "#9a8f78", "#8a2b20"),
    ("#f2f5f8", "#18222c", "#8494a4", "#0b7a5a"),
    ("#fffdf4", "#1c1c60", "#9090b0", "#b04a00"),
)
"""Colours of paper, ink, lines and accents."""
DARK = (
    ("#1e1e1e", "#e4e4e4", "#555555", "#4fa3ff"),
    ("#0f1a24", "#d2dee8", "#3c5468", "#ffb454"),
    ("#2b2233", "#f2e9ff", "#65587a", "#8fe388"),
)
"""The same colours of dark screens."""


@dataclass(frozen=True)
class Look:
    """The look of a family's drawings."""

    writing: Writing
    width: int
    """Pixels."""
    faces: tuple[str, str]
    paper: str
    ink: str
    line: str
    accent: str

    @classmethod
    def of(cls, chance: Random, widths: tuple[int, int], dark: float = 0.0) -> "Look":
        """Draw a look with a width between two numbers of pixels; a share ``dark`` of all looks is
        dark."""
        writing = Writing(japanese=chance.random() < 0.4)
        colours = chance.choice(DARK if chance.random() < dark else LIGHT)
        return cls(writing, chance.randint(*widths), writing.face(chance), *colours)

    def sheet(self, high: float, colour: str | None = None) -> "Canvas":
        """Return an empty drawing, ``high`` units high."""
        return Canvas(self, high, colour or self.paper)


class Canvas:
    """A drawing, in units of a thousandth of its width."""

    def __init__(self, look: Look, high: float, colour: str) -> None:
        self.look = look
        self.scale = look.width / WIDE
        self.image = Image.new("RGB", (look.width, round(high * self.scale)), colour)
        self.draw = ImageDraw.Draw(self.image)

    def at(self, *units: float) -> list[float]:
        """Convert units to pixels."""
        return [value * self.scale for value in units]

    def pixels(self, units: float) -> int:
        return max(1, round(units * self.scale))

    def write(
        self,
        left: float,
        top: float,
        text: str,
        size: float = 26,
        colour: str | None = None,
        bold: bool = False,
        anchor: str = "la",
        face: str | None = None,
    ) -> None:
        """Write one line of text; ``face`` is the path of a font other than that of the look."""
        path = self.look.faces[bold] if face is None else face
        pixels = max(LEAST_TEXT, round(size * self.scale))
        place = tuple(self.at(left, top))
        self.draw.text(
            place, text, font=font(path, pixels), fill=colour or self.look.ink, anchor=anchor
        )

    def line(self, *units: float, colour: str | None = None, width: float = 2) -> None:
        self.draw.line(self.at(*units), fill=colour or self.look.line, width=self.pixels(width))

    def box(
        self,
        *units: float,
        fill: str | None = None,
        outline: str | None = None,
        width: float = 2,
        radius: float = 0,
    ) -> None:
        """Draw a rectangle: left, top, right, bottom."""
        self.draw.rounded_rectangle(
            self.at(*units), radius * self.scale, fill, outline, self.pixels(width)
        )

    def dot(
        self, x: float, y: float, radius: float, fill: str | None, outline: str | None = None
    ) -> None:
        self.draw.ellipse(
            self.at(x - radius, y - radius, x + radius, y + radius), fill, outline, self.pixels(3)
        )

    def shape(
        self, points: list[tuple[float, float]], fill: str | None, outline: str | None = None
    ) -> None:
        """Draw a polygon."""
        self.draw.polygon([(x * self.scale, y * self.scale) for x, y in points], fill, outline)
