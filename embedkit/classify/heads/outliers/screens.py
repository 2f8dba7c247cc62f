"""Synthetic screenshots: article, chat, table, timetable, windows, switches and calendar."""

from collections.abc import Callable
from itertools import product

import numpy as np
from PIL import Image

from embedkit.classify.heads.outliers.canvas import WHITE, Canvas, Colour, blend, pick

_WIDE = ((640, 400), (640, 360), (512, 384))
_TALL = ((360, 640), (320, 568), (360, 780))
_BUTTONS: tuple[Colour, ...] = ((255, 95, 87), (254, 188, 46), (40, 200, 64))


def draw_screen(random: np.random.Generator, number: int) -> Image.Image:
    """Draw one of seven layouts in turn; a third of the screens are dark, half have a title bar."""
    layout, tall = _LAYOUTS[number % len(_LAYOUTS)]
    size = pick(random, _TALL if tall or number % 4 == 3 else _WIDE)
    dark = number % 3 == 2
    paper: Colour = (30, 30, 34) if dark else pick(random, (WHITE, (243, 243, 243)))
    ink: Colour = (220, 220, 220) if dark else (34, 34, 34)
    canvas = Canvas(random, size, paper, ink, unit=max(7, size[0] // 60))
    if number % 2:
        bar: Colour = (58, 61, 65) if dark else canvas.colour(20, 170)
        canvas.draw.rectangle((0, 0, canvas.width, 3 * canvas.unit), bar)
        canvas.title(canvas.unit, canvas.unit / 2, 2, int(1.5 * canvas.unit), WHITE)
    layout(canvas)
    return canvas.image


def _article(canvas: Canvas) -> None:
    unit = canvas.unit
    left = pick(canvas.random, (canvas.width // 5, 2 * unit))
    if left > 2 * unit:  # a column of links beside it
        canvas.draw.rectangle((0, 3 * unit, left - unit, canvas.height), canvas.shade(0.1))
        for y in range(4 * unit, canvas.height, 2 * unit):
            canvas.line(unit, y, left - 3 * unit, unit)
    for top in range(4 * unit, canvas.height, 9 * unit):
        canvas.title(left, top, 4, int(1.5 * unit))
        for number in range(4):
            row = top + (2.2 + 1.4 * number) * unit
            canvas.line(left, row, canvas.width - left - 2 * unit, unit)


def _chat(canvas: Canvas) -> None:
    unit, y = canvas.unit, 4 * canvas.unit
    while y < canvas.height:
        own, lines = canvas.random.random() < 0.5, int(canvas.random.integers(1, 4))
        width, height = int(canvas.random.uniform(0.3, 0.7) * canvas.width), (2 * lines + 2) * unit
        left = canvas.width - width - unit if own else unit
        fill = blend((60, 160, 90), canvas.paper, 0.6) if own else canvas.shade(0.1)
        canvas.draw.rounded_rectangle((left, y, left + width, y + height), unit, fill)
        for number in range(lines):
            row = y + (0.6 + 2.2 * number) * unit
            canvas.line(left + unit, row, width - 2 * unit, int(1.5 * unit))
        y += height + unit


def _table(canvas: Canvas) -> None:
    unit, random, rule = canvas.unit, canvas.random, canvas.shade(0.3)
    width = int(random.integers(35, 90))
    for x in range(0, canvas.width, width):
        canvas.draw.line((x, 3 * unit, x, canvas.height), rule)
    for y in range(3 * unit, canvas.height, 2 * unit):
        canvas.draw.line((0, y, canvas.width, y), rule)
        for x in range(0, canvas.width, width):
            if random.random() < 0.7:
                canvas.write(x + 3, y + unit / 3, str(random.integers(10**5))[::2], unit)


def _timetable(canvas: Canvas) -> None:
    unit, random = canvas.unit, canvas.random
    height = canvas.height // int(random.integers(8, 20))
    size = min(2 * unit, height // 2)
    for number, y in enumerate(range(3 * unit, canvas.height, height)):
        if number % 2:
            canvas.draw.rectangle((0, y, canvas.width, y + height), canvas.shade(0.08))
        hour, minute, platform = random.integers((24, 60, 20)).tolist()
        canvas.write(0.03 * canvas.width, y + height / 4, f"{hour:02d}:{minute:02d}", size)
        canvas.title(0.28 * canvas.width, y + height / 4, 2, size)
        canvas.write(0.88 * canvas.width, y + height / 4, str(platform), size)


def _windows(canvas: Canvas) -> None:
    unit, random = canvas.unit, canvas.random
    canvas.draw.rectangle((0, 0, canvas.width, canvas.height), canvas.colour(20, 160))
    for _ in range(random.integers(1, 4)):
        x, y, width, height = (
            random.uniform((0, 0, 0.4, 0.4), (0.4, 0.4, 0.7, 0.7))
            * np.array([canvas.width, canvas.height] * 2)
        ).tolist()
        canvas.draw.rectangle((x, y, x + width, y + height), canvas.paper, canvas.shade(0.5))
        canvas.draw.rectangle((x, y, x + width, y + 2 * unit), canvas.shade(0.2))
        for number, colour in enumerate(_BUTTONS, start=1):
            middle = (x + 1.2 * number * unit, y + unit)
            canvas.draw.circle(middle, 0.4 * unit, colour)
        for row in range(int(height / unit / 1.6) - 2):
            share = random.uniform(0.2, 0.9)
            canvas.line(x + unit, y + (3 + 1.6 * row) * unit, share * width - unit, unit)


def _switches(canvas: Canvas) -> None:
    unit, grey = canvas.unit, (136, 136, 136)
    for y in range(3 * unit, canvas.height, 6 * unit):
        canvas.draw.line((0, y, canvas.width, y), canvas.shade(0.2))
        canvas.draw.circle((3 * unit, y + 3 * unit), 2 * unit, canvas.colour(60, 240))
        canvas.title(6 * unit, y + unit, 2, int(1.7 * unit))
        canvas.line(6 * unit, y + 3.5 * unit, canvas.width / 2, unit, grey)
        on, right = canvas.random.random() < 0.5, canvas.width - unit
        track = (right - 5 * unit, y + 2 * unit, right, y + 4 * unit)
        canvas.draw.rounded_rectangle(track, unit, (76, 175, 80) if on else (187, 187, 187))
        knob = right - (1 if on else 4) * unit
        canvas.draw.circle((knob, y + 3 * unit), unit, WHITE)


def _month(canvas: Canvas) -> None:
    unit, width = canvas.unit, canvas.width // 7
    height = (canvas.height - 4 * unit) // 5
    for day, (row, column) in enumerate(product(range(5), range(7)), start=1):
        x, y = column * width, 4 * unit + row * height
        canvas.draw.rectangle((x, y, x + width, y + height), None, canvas.shade(0.3))
        canvas.write(x + 3, y + 2, str(day), int(1.2 * unit))
        if canvas.random.random() < 0.6:
            fill = blend(canvas.colour(80, 240), canvas.paper, 0.4)
            canvas.draw.rectangle((x + 2, y + 2 * unit, x + width - 2, y + 3.4 * unit), fill)
            canvas.line(x + 4, y + 2.2 * unit, width - 8, unit)


_LAYOUTS: tuple[tuple[Callable[[Canvas], None], bool], ...] = (
    (_article, False),
    (_chat, True),
    (_table, False),
    (_timetable, True),
    (_windows, False),
    (_switches, True),
    (_month, False),
)
"""Each layout, and whether its screens are always taller than wide."""
