"""Families: similar pictures of which no two are copies.

A family is made from a design: its fields, each with a function that draws a value, and a function
that paints the values. Its members differ in some fields, from one glyph to all; no two show the
same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import ne
from random import Random
from typing import Any

from PIL import Image, ImageChops

from trust.writing import GLYPHS, Maker

Values = Mapping[str, Any]
Finish = Callable[[Image.Image, Random], Image.Image]
"""Changes each painted member, for example by noise or camera shake."""
Saver = Callable[[Image.Image, Random], tuple[Image.Image, str, dict[str, Any]]]
"""Maps a picture to the picture to save, the suffix and the options for saving."""

AMOUNTS = ("glyph", "field", "part", "all")
"""How much the members of a family differ: in one glyph, one field, a third of the fields, or
all."""
SEEN = 48
"""Levels, of 255, from which on a pixel differs visibly."""
SEEN_PIXELS = 8
"""Least number of visibly different pixels between any two unfinished members."""
BEHIND = (200, 60, 160)
"""Background on which transparent drawings are compared; none of them has this colour."""
TRIES = 1000


@dataclass(frozen=True)
class Design:
    """The common design of a family's members."""

    fields: Mapping[str, Maker]
    paint: Callable[[Values], Image.Image]
    finish: Finish = lambda image, _: image
    differ: Callable[[Values, Values], bool] = ne
    """Whether two members with given values are not copies, apart from their looks."""


def members(design: Design, amount: str, count: int, chance: Random) -> Iterator[Image.Image]:
    """Yield ``count`` members of a family, any two of which differ visibly; finished, but not
    saved.

    Raises RuntimeError when the design does not have enough members.
    """
    base = {name: make(chance) for name, make in design.fields.items()}
    made: list[tuple[Values, Image.Image]] = []
    for _ in range(TRIES):
        if len(made) == count:
            return
        values = varied(base, design.fields, amount, chance) if made else base
        if not all(design.differ(values, others) for others, _ in made):
            continue
        image = design.paint(values)
        if all(seen_apart(image, other) for _, other in made):
            made.append((values, image))
            yield design.finish(image, chance)
    raise RuntimeError(f"{len(made)} of {count} members, then none that differs from them")


def varied(base: Values, fields: Mapping[str, Maker], amount: str, chance: Random) -> Values:
    """Return the values ``base``, with some of them drawn again."""
    names = [*fields]
    if amount == "glyph":
        name = chance.choice(names)
        value = base[name]
        other = another_glyph(value, chance) if isinstance(value, str) else fields[name](chance)
        return {**base, name: other}
    run = {"field": 1, "part": max(1, len(names) // 3), "all": len(names)}[amount]
    start = chance.randint(0, len(names) - run)
    return {**base, **{name: fields[name](chance) for name in names[start : start + run]}}


def another_glyph(text: str, chance: Random) -> str:
    """Replace one glyph of a text by another of its kind, if it has any."""
    places = [(place, row) for place, glyph in enumerate(text) for row in GLYPHS if glyph in row]
    if not places:
        return text
    place, row = chance.choice(places)
    other = chance.choice(row.replace(text[place], ""))
    return text[:place] + other + text[place + 1 :]


def seen_apart(one: Image.Image, other: Image.Image) -> bool:
    """Return whether two unfinished pictures differ visibly."""
    if one.size != other.size:
        return True
    bands = ImageChops.difference(opaque(one), opaque(other)).split()
    return max(sum(band.histogram()[SEEN:]) for band in bands) >= SEEN_PIXELS


def opaque(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image.convert("RGB")
    behind = Image.new("RGBA", image.size, BEHIND)
    return Image.alpha_composite(behind, image).convert("RGB")


# -- saving ----------------------------------------------------------------------------------------


def as_png(_: Random) -> Saver:
    return lambda image, _: (image, "png", {})


def one_quality(chance: Random) -> Saver:
    quality = chance.randint(60, 95)
    return lambda image, _: (image, "jpg", {"quality": quality})


def any_quality(_: Random) -> Saver:
    return lambda image, chance: (image, "jpg", {"quality": chance.randint(60, 95)})


def one_webp(chance: Random) -> Saver:
    quality = chance.randint(60, 95)
    return lambda image, _: (image, "webp", {"quality": quality})


def lossless_webp(_: Random) -> Saver:
    return lambda image, _: (image, "webp", {"lossless": True, "exact": True})


def other_sizes(*savers: Callable[[Random], Saver]) -> Callable[[Random], Saver]:
    """Save each member in another size, in one of several ways."""

    def family(chance: Random) -> Saver:
        ways = [saver(chance) for saver in savers]

        def save(image: Image.Image, chance: Random) -> tuple[Image.Image, str, dict[str, Any]]:
            scale = chance.uniform(0.7, 1.3)
            size = [max(16, round(side * scale)) for side in image.size]
            return chance.choice(ways)(image.resize(size, Image.Resampling.LANCZOS), chance)

        return save

    return family


DRAWN = (as_png, one_quality, any_quality, other_sizes(as_png, any_quality))
PHOTOGRAPHED = (one_quality, any_quality, one_webp, other_sizes(any_quality))
TRANSPARENT = (as_png, lossless_webp, one_webp, other_sizes(as_png, lossless_webp))


@dataclass(frozen=True)
class Kind:
    """A kind of families."""

    name: str
    design: Callable[[int, Random], tuple[str, Design]]
    """Maps a family's number to the name of its template and its design."""
    templates: int
    """Number of templates; family number n has template n modulo this."""
    savers: Sequence[Callable[[Random], Saver]]

    def amount(self, number: int) -> str:
        """Return the amount of a family: all amounts in turn for each template."""
        return AMOUNTS[number // self.templates % len(AMOUNTS)]

    def saver(self, number: int, chance: Random) -> Saver:
        """Return the saver of a family: all ways in turn for each template, out of step with the
        amounts."""
        way = number + number // self.templates
        return self.savers[way % len(self.savers)](chance)
