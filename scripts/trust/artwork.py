"""Drawings on transparency in one style, with different strokes, shapes, letters or colours."""

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from trust.families import Design, Values
from trust.screens import polygon
from trust.writing import GLYPHS, PLACES, among, between, font, japanese_faces, latin

FINER = 2
"""Factor by which drawings are larger before they are reduced."""
WHEEL = [
    tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue / 16, strong, bright))
    for hue in range(16)
    for strong, bright in ((0.9, 0.9), (0.6, 0.55))
]
INKS = ((255, 255, 255), (0, 0, 0), None)
"""White, black, and the colour of a family."""
SYMBOLS = "☀☁☂☃★☎☘☠☢☮☯☸♔♕♖♗♘♙♚♛♜♝♞♟♠♣♥♦♨♪♻⚓⚔⚖⚙⚡✂✈✉✎✓✚✦✪✱✿❄❤➜"

Colour = tuple[int, ...]
Shape = tuple[str, float, float, float, float]
"""Kind, centre, radius and rotation of a shape; lengths are shares of the side."""


@dataclass(frozen=True)
class Style:
    """The style of a family, drawn once."""

    size: int
    """Side, pixels."""
    ink: Colour
    second: Colour
    width: float
    """Width of lines, as a share of the side."""
    under: Colour
    """Colour of fully transparent pixels."""

    def empty(self) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        side = self.size * FINER
        image = Image.new("RGBA", (side, side), (*self.ink, 0))
        return image, ImageDraw.Draw(image)

    def done(self, image: Image.Image) -> Image.Image:
        small = np.asarray(image.resize((self.size, self.size), Image.Resampling.BOX)).copy()
        small[small[..., 3] == 0, :3] = self.under
        return Image.fromarray(small)

    def pixels(self, *shares: float) -> list[float]:
        return [share * self.size * FINER for share in shares]

    def line(self, draw: ImageDraw.ImageDraw, points: list[tuple[float, float]]) -> None:
        wide = max(FINER, round(self.width * self.size * FINER))
        flat = self.pixels(*(part for point in points for part in point))
        draw.line(flat, (*self.ink, 255), wide, joint="curve")

    def shape(self, draw: ImageDraw.ImageDraw, shape: Shape, colour: Colour) -> None:
        kind, x, y, radius, turn = shape
        box = self.pixels(x - radius, y - radius, x + radius, y + radius)
        wide = max(FINER, round(radius * self.size * FINER / 4))
        if kind == "disc":
            draw.ellipse(box, (*colour, 255))
        elif kind == "ring":
            draw.ellipse(box, None, (*colour, 255), wide)
        elif kind == "arc":
            draw.arc(box, turn * 360, turn * 360 + 200, (*colour, 255), wide)
        else:
            sides = int(kind)
            points = [
                self.pixels(*turned(point, (x, y), turn * 2 * math.pi))
                for point in polygon(x, y, radius, sides)
            ]
            draw.polygon([tuple(point) for point in points], (*colour, 255))


def turned(
    point: tuple[float, float], centre: tuple[float, float], angle: float
) -> tuple[float, float]:
    x, y = point[0] - centre[0], point[1] - centre[1]
    return (
        centre[0] + x * math.cos(angle) - y * math.sin(angle),
        centre[1] + x * math.sin(angle) + y * math.cos(angle),
    )


def shapes(least: float, most: float) -> Callable[[Random], Shape]:
    """Draws shapes with the given radii."""
    return lambda chance: (
        chance.choice(["disc", "ring", "arc", "3", "4", "5", "6"]),
        *(chance.uniform(0.2, 0.8) for _ in range(2)),
        chance.uniform(least, most),
        chance.random(),
    )


def stroke(chance: Random) -> list[tuple[float, float]]:
    return [(chance.uniform(0.05, 0.95), chance.uniform(0.05, 0.95)) for _ in range(2)]


def smooth(knots: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return a curve through knots (Catmull and Rom)."""
    ends = [knots[0], *knots, knots[-1]]
    curve = []
    for place in range(len(knots) - 1):
        a, b, c, d = (np.array(knot) for knot in ends[place : place + 4])
        for t in np.linspace(0, 1, 12):
            at = 2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2
            at = at + (3 * b - a - 3 * c + d) * t**3
            curve.append((float(at[0]) / 2, float(at[1]) / 2))
    return curve


def line_drawing(style: Style, chance: Random) -> Design:
    count = chance.randint(6, 16)

    def paint(of: Values) -> Image.Image:
        image, draw = style.empty()
        for line in of.values():
            style.line(draw, line)
        return style.done(image)

    return Design({f"stroke{row}": stroke for row in range(count)}, paint)


def icon(style: Style, chance: Random) -> Design:
    count = chance.randint(2, 5)

    def paint(of: Values) -> Image.Image:
        image, draw = style.empty()
        for row, shape in enumerate(of.values()):
            style.shape(draw, shape, style.second if row % 2 else style.ink)
        return style.done(image)

    return Design({f"shape{row}": shapes(0.06, 0.25) for row in range(count)}, paint)


def recoloured(style: Style, chance: Random) -> Design:
    drawn = [shapes(0.1, 0.3)(chance) for _ in range(chance.randint(1, 4))]
    plain = [(255, 255, 255), (0, 0, 0), (128, 128, 128), (60, 60, 60)]

    def paint(of: Values) -> Image.Image:
        image, draw = style.empty()
        for shape in drawn:
            style.shape(draw, shape, of["colour"])
        return style.done(image)

    return Design({"colour": among([*WHEEL, *plain])}, paint)


def one_more(style: Style, chance: Random) -> Design:
    strokes = [stroke(chance) for _ in range(chance.randint(4, 12))]
    make = shapes(0.03, 0.08)

    def paint(of: Values) -> Image.Image:
        image, draw = style.empty()
        for line in strokes:
            style.line(draw, line)
        style.shape(draw, of["one more"], style.second)
        return style.done(image)

    return Design({"one more": make}, paint)


def letters(style: Style, chance: Random) -> Design:
    japanese, count = chance.random() < 0.4, chance.choice([1, 1, 2, 3])
    face = chance.choice(japanese_faces())[1] if japanese else latin("serif", bold=True)
    pool = chance.choice(GLYPHS[3:] if japanese else GLYPHS[:3])

    def paint(of: Values) -> Image.Image:
        image, draw = style.empty()
        size = round(style.size * FINER * (0.8 if count == 1 else 0.9 / count))
        place = tuple(style.pixels(0.5, 0.5))
        text = "".join(of.values())
        draw.text(place, text, (*style.ink, 255), font(face, size), anchor="mm")
        return style.done(image)

    return Design({f"letter{place}": among(pool) for place in range(count)}, paint)


def logo(style: Style, chance: Random) -> Design:
    fields = {"sides": among((3, 4, 5, 6)), "turn": between(0, 1), "word": among(PLACES)}
    face = latin(chance.choice(["sans", "serif", "mono"]), bold=True)

    def paint(of: Values) -> Image.Image:
        image, draw = style.empty()
        style.shape(draw, (str(of["sides"]), 0.5, 0.38, 0.3, of["turn"]), style.second)
        style.shape(draw, ("ring", 0.5, 0.38, 0.35, 0.0), style.ink)
        size = round(style.size * FINER * 0.13)
        place = tuple(style.pixels(0.5, 0.86))
        draw.text(place, of["word"], (*style.ink, 255), font(face, size), anchor="mm")
        return style.done(image)

    return Design(fields, paint)


def with_shadow(style: Style, chance: Random) -> Design:
    away, soft = chance.uniform(0.01, 0.05), chance.uniform(0.01, 0.05)
    strong = chance.randint(90, 200)
    fields = {"shape": shapes(0.12, 0.22), "shape2": shapes(0.08, 0.18)}

    def paint(of: Values) -> Image.Image:
        image, draw = style.empty()
        for shape in of.values():
            style.shape(draw, shape, style.ink)
        alpha = image.getchannel("A").point(lambda level: level * strong // 255)
        blurred = alpha.filter(ImageFilter.GaussianBlur(style.pixels(soft)[0]))
        shadow = Image.new("RGBA", image.size, (0, 0, 0, 0))
        by = round(style.pixels(away)[0])
        black = Image.new("L", image.size)
        shadow.paste(Image.merge("RGBA", [black, black, black, blurred]), (by, by))
        return style.done(Image.alpha_composite(shadow, image))

    return Design(fields, paint)


def symbol(style: Style, chance: Random) -> Design:
    ring = chance.random() < 0.5

    def paint(of: Values) -> Image.Image:
        image, draw = style.empty()
        if ring:
            style.shape(draw, ("ring", 0.5, 0.5, 0.46, 0.0), style.second)
        size = round(style.size * FINER * 0.55)
        place = tuple(style.pixels(0.5, 0.5))
        text = SYMBOLS[of["symbol"]]
        draw.text(place, text, (*style.ink, 255), font(latin("sans"), size), anchor="mm")
        return style.done(image)

    return Design({"symbol": among(range(len(SYMBOLS)))}, paint)


def signature(style: Style, chance: Random) -> Design:
    knots = chance.randint(6, 12)
    fields = {f"knot{place}": between(0.2, 0.8) for place in range(knots)}

    def paint(of: Values) -> Image.Image:
        image, draw = style.empty()
        at = [(0.06 + 0.88 * place / (knots - 1), of[f"knot{place}"]) for place in range(knots)]
        style.line(draw, smooth(at))
        return style.done(image)

    return Design(fields, paint)


def tiles(style: Style, chance: Random) -> Design:
    side = chance.randint(5, 12)
    fields = {f"{row} {column}": among((0, 1)) for row in range(side) for column in range(side)}

    def paint(of: Values) -> Image.Image:
        image, draw = style.empty()
        for row in range(side):
            for column in range(side):
                if of[f"{row} {column}"]:
                    box = [column / side, row / side, (column + 0.96) / side, (row + 0.96) / side]
                    draw.rectangle(style.pixels(*box), (*style.ink, 255))
        return style.done(image)

    return Design(fields, paint)


TEMPLATES: dict[str, Callable[[Style, Random], Design]] = {
    "lines": line_drawing,
    "icon": icon,
    "recoloured": recoloured,
    "one-more": one_more,
    "letters": letters,
    "logo": logo,
    "shadow": with_shadow,
    "symbol": symbol,
    "signature": signature,
    "tiles": tiles,
}


def design(family: int, chance: Random) -> tuple[str, Design]:
    """Return a family of drawings: the name of the template, and the design."""
    name = [*TEMPLATES][family % len(TEMPLATES)]
    colour, second = chance.sample(WHEEL, 2)
    ink = INKS[(family + family // len(TEMPLATES)) % len(INKS)] or colour
    style = Style(
        size=chance.choice([96, 160, 256, 400, 640]),
        ink=ink,
        second=ink if chance.random() < 0.5 else second,
        width=chance.uniform(0.008, 0.03),
        under=chance.choice([(255, 255, 255), (0, 0, 0), ink]),
    )
    return name, TEMPLATES[name](style, chance)
