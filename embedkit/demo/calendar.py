"""Eighteen generated photos of a desk calendar: two months x three framings x three shots.

Ranked by distance to the first January photo, February photos of the same framing come before
January photos of another framing, under every backbone of a published comparison. Everything is
drawn; the same seed draws the same photos.
"""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from embedkit._internal.artifacts import atomic_write

MONTHS = ("January", "February")
YEAR = 2026
PAGE = (900, 1200)
"""Width and height of the flat calendar page, pixels."""
PHOTO = (1280, 960)

# Corners of the page in the photo (left top, right top, right bottom, left bottom), as shares of
# the photo's width and height.
FRAMINGS = {
    "front": ((0.33, 0.12), (0.67, 0.12), (0.69, 0.80), (0.31, 0.80)),
    "side": ((0.22, 0.20), (0.50, 0.10), (0.55, 0.74), (0.20, 0.90)),
    "close-up": ((0.06, -0.12), (0.95, -0.15), (0.99, 1.42), (0.02, 1.40)),
}
SHOTS = 3


@dataclass(frozen=True)
class CalendarPhoto:
    """One photo. ``1.jpg`` to ``9.jpg`` show January, ``10.jpg`` to ``18.jpg`` February."""

    name: str
    month: str
    framing: str
    image: Image.Image


class ShootingConditions:
    """The conditions of a set of shots.

    By default, pages are upright and well lit, and the months have different pictures. Subclasses
    define other conditions.
    """

    light: tuple[float, float] = (0.88, 1.1)
    """Minimum and maximum brightness of a shot; 1 is the page as drawn."""

    def picture_of(self, month: int, seed: int) -> int:  # noqa: ARG002
        """Return the number of the picture, 0 or 1, of a month, 0 or 1."""
        return month

    def place(self, corners: np.ndarray, random: np.random.Generator) -> np.ndarray:  # noqa: ARG002
        """Return the positions of the page's corners in a shot: (4, 2), pixels."""
        return corners

    def reflection(self, random: np.random.Generator) -> Image.Image | None:  # noqa: ARG002
        """Return a mask of the reflection on the page, 0 to 255 and of size :data:`PAGE`; None
        without a reflection."""
        return None


def calendar_photos(
    seed: int = 0, shooting: ShootingConditions | None = None
) -> Iterator[CalendarPhoto]:
    """Draw the eighteen photos in order: by month, then by framing, then by shot."""
    shooting = shooting or ShootingConditions()
    pictures = (_snowy_mountain(), _plum_blossom())
    number = 0
    for index, month in enumerate(MONTHS):
        page = _page(index + 1, pictures[shooting.picture_of(index, seed)])
        for framing, corners in FRAMINGS.items():
            desk = _desk(framing, seed)
            for shot in range(SHOTS):
                number += 1
                random = np.random.default_rng([seed, index, list(FRAMINGS).index(framing), shot])
                image = _photograph(page, desk, corners, shooting, random)
                yield CalendarPhoto(f"{number}.jpg", month, framing, image)


def write_calendar_photos(
    folder: Path, seed: int = 0, shooting: ShootingConditions | None = None
) -> list[Path]:
    """Write the photos to ``folder/<month>/<n>.jpg`` unless all exist; return their paths."""
    paths = [
        folder / month / f"{1 + number}.jpg"
        for number, month in enumerate(np.repeat(MONTHS, SHOTS * len(FRAMINGS)).tolist())
    ]
    if not all(path.exists() for path in paths):
        for path, photo in zip(paths, calendar_photos(seed, shooting), strict=True):
            with atomic_write(path) as temporary:
                photo.image.save(temporary, "JPEG", quality=88)
    return paths


# -- the page ----------------------------------------------------------------------------------


def _page(month: int, picture: Image.Image) -> Image.Image:
    """Draw a month page: picture, title, day grid."""
    width, height = PAGE
    page = Image.new("RGB", PAGE, (250, 248, 243))
    page.paste(picture.resize((width - 80, 560), Image.Resampling.LANCZOS), (40, 70))
    draw = ImageDraw.Draw(page)
    for x in range(50, width, 50):  # the spiral
        draw.ellipse((x - 9, 18, x + 9, 36), fill=(70, 70, 74))
    ink, red, blue = (40, 42, 48), (196, 52, 46), (44, 84, 160)
    draw.text((40, 655), calendar.month_name[month], font=_font(72), fill=ink)
    draw.text((width - 40, 655), str(YEAR), font=_font(72), fill=(150, 146, 138), anchor="ra")
    column, row = (width - 80) / 7, 68
    for day, name in enumerate(("Su", "Mo", "Tu", "We", "Th", "Fr", "Sa")):
        colour = red if day == 0 else blue if day == 6 else ink
        draw.text((40 + column * (day + 0.5), 775), name, font=_font(30), fill=colour, anchor="mm")
    weeks = calendar.Calendar(firstweekday=6).monthdayscalendar(YEAR, month)
    for week, days in enumerate(weeks):
        for weekday, day in enumerate(days):
            if day:
                colour = red if weekday == 0 else blue if weekday == 6 else ink
                centre = (40 + column * (weekday + 0.5), 840 + row * week)
                draw.text(centre, str(day), font=_font(40), fill=colour, anchor="mm")
    draw.rectangle((0, 0, width - 1, height - 1), outline=(205, 200, 190), width=3)
    return page


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)  # comes with Pillow: the same on every machine


def _snowy_mountain() -> Image.Image:
    size = (820, 560)
    image = _gradient(size, (118, 160, 205), (226, 234, 240))
    draw = ImageDraw.Draw(image)
    draw.ellipse((600, 60, 690, 150), fill=(250, 240, 214))
    hills = (0, 430, 170, 250, 330, 400, 520, 220, 820, 440, 820, 560, 0, 560)
    snow = (330, 250, 420, 95, 512, 255, 470, 232, 436, 270, 398, 228, 366, 268)
    draw.polygon(hills, fill=(122, 142, 168))
    draw.polygon([(150, 560), (420, 95), (690, 560)], fill=(74, 92, 120))
    draw.polygon(snow, fill=(246, 249, 252))
    random = np.random.default_rng(11)
    for x in np.sort(random.uniform(0, 820, 46)):
        height = random.uniform(50, 120)
        foot = random.uniform(470, 555)
        green = (24, int(random.uniform(52, 88)), 48)
        tree = [(x, foot - height), (x - height / 4, foot), (x + height / 4, foot)]
        draw.polygon(tree, fill=green)
    for x, y in random.uniform((0, 0), size, (170, 2)):
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(255, 255, 255))
    return image


def _plum_blossom() -> Image.Image:
    size = (820, 560)
    image = _gradient(size, (250, 228, 208), (244, 206, 196))
    draw = ImageDraw.Draw(image)
    draw.ellipse((70, 60, 300, 290), fill=(236, 112, 84))
    branches = [
        ((0, 470), (310, 330)),
        ((310, 330), (560, 210)),
        ((560, 210), (800, 60)),
        ((310, 330), (420, 500)),
        ((560, 210), (720, 300)),
        ((150, 400), (230, 200)),
    ]
    for start, end in branches:
        draw.line((start, end), fill=(84, 56, 46), width=15)
    random = np.random.default_rng(7)
    for start, end in branches:
        for share in random.uniform(0.05, 1, 8):
            centre = np.array(start) + share * (np.array(end) - start) + random.normal(0, 16, 2)
            radius = random.uniform(11, 19)
            pink = (232, int(random.uniform(72, 132)), int(random.uniform(120, 160)))
            for angle in np.arange(5) * 2 * np.pi / 5:
                x, y = centre + radius * np.array([np.cos(angle), np.sin(angle)])
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=pink)
            x, y = centre
            draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=(248, 214, 96))
    return image


def _gradient(size: tuple[int, int], top: tuple[int, ...], bottom: tuple[int, ...]) -> Image.Image:
    share = np.linspace(0, 1, size[1])[:, None, None]
    column = (1 - share) * np.array(top) + share * np.array(bottom)
    return Image.fromarray(np.broadcast_to(column, (size[1], size[0], 3)).astype(np.uint8))


# -- the photo ---------------------------------------------------------------------------------


def _desk(framing: str, seed: int) -> Image.Image:
    """Draw the desk of one framing: wood, and some objects."""
    width, height = PHOTO
    random = np.random.default_rng([seed, 99, list(FRAMINGS).index(framing)])
    grain = np.cumsum(random.normal(0, 1, (height, 1)), axis=0)
    grain = 7 * np.sin(grain / 2 + np.linspace(0, 3, width)[None, :]) + random.normal(
        0, 2.5, (height, width)
    )
    pixels = np.array([172, 132, 96]) + grain[:, :, None] * np.array([1.0, 0.9, 0.75])
    wall = {"front": 300, "side": 190, "close-up": 0}[framing]
    pixels[:wall] = np.array([206, 210, 208]) + random.normal(0, 1.5, (wall, width, 1))
    desk = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(desk)
    if framing == "front":
        draw.rounded_rectangle((90, 480, 270, 720), 26, fill=(58, 96, 120))  # a mug
        draw.ellipse((90, 455, 270, 510), fill=(44, 32, 26), outline=(70, 110, 134), width=9)
        draw.polygon([(1010, 820), (1200, 770), (1216, 790), (1030, 842)], fill=(222, 176, 60))
    elif framing == "side":
        draw.rounded_rectangle((830, 250, 1210, 560), 12, fill=(40, 42, 46))  # a screen
        draw.rectangle((848, 268, 1192, 520), fill=(104, 140, 156))
        draw.ellipse((760, 660, 1010, 820), fill=(226, 222, 214), outline=(190, 186, 178), width=6)
    return desk


def _photograph(
    page: Image.Image,
    desk: Image.Image,
    corners: tuple[tuple[float, float], ...],
    shooting: ShootingConditions,
    random: np.random.Generator,
) -> Image.Image:
    """Draw the page on the desk in perspective, with the jitter, light and noise of a shot."""
    shift = random.normal(0, 0.012, 2)
    positions = np.array(corners) + shift + random.normal(0, 0.006, (4, 2))
    coefficients = _perspective(shooting.place(positions * PHOTO, random), PAGE)
    warp = Image.Transform.PERSPECTIVE
    bicubic = Image.Resampling.BICUBIC
    warped = page.transform(PHOTO, warp, coefficients, bicubic)
    mask = Image.new("L", PAGE, 255).transform(PHOTO, warp, coefficients, bicubic)
    offset = (int(shift[0] * PHOTO[0]), int(shift[1] * PHOTO[1]))
    photo = Image.new("RGB", PHOTO, (172, 132, 96))
    photo.paste(
        desk.resize((int(PHOTO[0] * 1.08), int(PHOTO[1] * 1.08))), (offset[0] - 51, offset[1] - 38)
    )
    shadow = mask.filter(ImageFilter.GaussianBlur(18)).point(lambda value: value // 3)
    photo.paste((40, 30, 24), (14, 18), shadow)
    photo.paste(warped, (0, 0), mask)

    photo = ImageEnhance.Brightness(photo).enhance(random.uniform(*shooting.light))
    pixels = np.asarray(photo, np.float32)
    warmth = random.normal(0, 0.02)
    pixels = pixels * np.array([1 + warmth, 1, 1 - warmth], np.float32)
    pixels += random.normal(0, 3.0, pixels.shape).astype(np.float32)
    photo = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    reflection = shooting.reflection(random)  # drawn last, so that it changes no other random value
    if reflection is not None:
        mask = reflection.transform(PHOTO, warp, coefficients, bicubic)
        photo.paste((255, 255, 255), (0, 0), mask)
    return photo


def _perspective(corners: np.ndarray, size: tuple[int, int]) -> list[float]:
    """Return Pillow's 8 coefficients that map the corners of a picture of ``size`` to ``corners``.

    ``corners`` are positions in the photo: (4, 2), pixels.
    """
    width, height = size
    flat = [(0, 0), (width, 0), (width, height), (0, height)]
    rows, values = [], []
    for (x, y), (u, v) in zip(corners, flat, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
        values.extend([u, v])
    return [float(value) for value in np.linalg.solve(np.array(rows), np.array(values))]
