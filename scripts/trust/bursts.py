"""Bursts: frames with one background, and a subject in another place, size or pose in each."""

from collections.abc import Callable
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageStat

from trust.camera import lit, noisy, opened, shifted
from trust.families import Design, Values
from trust.writing import Maker, among

MARGIN = 8
"""Pixels around a frame that a shaken camera may see."""
SHARES = (0.01, 0.03, 0.1, 0.3)
"""Widths of the subject as shares of the frame's width."""
SMALL = 0.05
"""Share of the width below which a subject changes place in every frame: its pose is hardly
visible."""
LEAST = 12
"""Least width of a subject, pixels."""
CONDITIONS = {
    "steady": (0.0, 0.0, False),
    "shaken": (4.0, 0.0, False),
    "noise": (0.0, 5.0, False),
    "shaken-noise": (3.0, 4.0, False),
    "exposure": (1.0, 2.0, True),
}
"""Shift in pixels, levels of noise, and whether the exposure changes."""


def bird(colour: str, wing: int) -> Image.Image:
    """Draw a bird facing right, with its wings raised by an angle in degrees."""
    image = Image.new("RGBA", (400, 400))
    draw = ImageDraw.Draw(image)
    draw.polygon([(60, 180), (10, 150), (20, 230)], colour)
    draw.ellipse((50, 160, 320, 250), colour)
    draw.ellipse((280, 130, 370, 210), colour)
    draw.polygon([(365, 165), (400, 178), (362, 190)], "#d08020")
    for away in (0, 40):
        tip = (120 - away, 205 - 2.2 * wing)
        draw.polygon([(140 + away, 200), (230 + away, 200), tip], colour)
    return image


def cutout(cutouts: list[Path], chance: Random) -> Image.Image:
    """Return a cut-out with an outline: neither almost empty nor almost full."""
    for path in chance.sample(cutouts, len(cutouts)):
        with Image.open(path) as image:
            if not image.has_transparency_data or min(image.size) < 60:
                continue
            rgba = image.convert("RGBA")
        rgba = rgba.crop(rgba.getchannel("A").getbbox())
        if 60 < ImageStat.Stat(rgba.getchannel("A")).mean[0] < 235:
            return rgba
    raise ValueError("no cut-out has transparency around it")


def subjects(
    background: Image.Image, cutouts: list[Path], chance: Random
) -> tuple[str, Callable[[int], Image.Image]]:
    """Return the name of a family's subject, and a function that draws it in a pose."""
    if cutouts and chance.random() < 0.6:
        held = cutout(cutouts, chance)
        return "cutout", lambda _: held
    dark = ImageStat.Stat(background.convert("L")).mean[0] > 110
    colour = chance.choice(["#181420", "#3a2818"] if dark else ["#f4f0e4", "#e8c85a"])
    return "bird", lambda pose: bird(colour, (pose - 3) * 30)


def design(family: int, chance: Random, photo: Path, cutouts: list[Path]) -> tuple[str, Design]:
    """Return the name of the template and the design of a family of frames on a photograph."""
    condition = [*CONDITIONS][family % len(CONDITIONS)]
    shake, grain, exposed = CONDITIONS[condition]
    background = opened(photo, chance.choice([640, 960, 1280]))
    share = SHARES[family % len(SHARES)] * chance.uniform(0.8, 1.25)
    name, subject = subjects(background, cutouts, chance)
    place = among((x / 12, y / 9) for x in range(1, 12) for y in range(1, 9))
    fields: dict[str, Maker] = {
        "place": place,
        "turn": among(range(-60, 61, 20)),
        "mirrored": among([False, True]),
        "size": among([0.8, 1.0, 1.25]),
        "pose": among(range(7)),
    }
    if share < SMALL:
        every = dict(fields)
        fields = {"all": lambda chance: {name: make(chance) for name, make in every.items()}}

    def paint(of: Values) -> Image.Image:
        of = of.get("all", of)
        seen = subject(of["pose"])
        wide = max(LEAST, round(background.width * share * of["size"]))
        high = max(1, round(wide * seen.height / seen.width))
        if high > (most := round(background.height * 0.8)):
            wide, high = round(wide * most / high), most
        seen = seen.resize((wide, high), Image.Resampling.LANCZOS)
        if of["mirrored"]:
            seen = seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        seen = seen.rotate(of["turn"], Image.Resampling.BICUBIC, expand=True)
        frame = background.copy()
        left, top = (round(part * side) for part, side in zip(of["place"], frame.size, strict=True))
        frame.paste(seen, (left - seen.width // 2, top - seen.height // 2), seen)
        return frame

    def finish(frame: Image.Image, chance: Random) -> Image.Image:
        moved = [chance.uniform(-shake, shake) for _ in range(2)]
        if shake and chance.random() < 0.5:
            moved = [round(pixels) for pixels in moved]
        frame = shifted(frame, *moved, MARGIN)
        if exposed:
            frame = lit(frame, chance.uniform(0.75, 1.35), 0.0, 1.0)
        return noisy(frame, grain, chance) if grain else frame

    return f"{name}-{condition}", Design(fields, paint, finish)
