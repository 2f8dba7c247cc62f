"""Cards and screenshots: one layout with different contents."""

import math
from calendar import monthrange
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product
from random import Random

from PIL import Image

from trust.canvas import Look
from trust.documents import rows
from trust.families import Design, Values
from trust.writing import WORDS, Maker, among, between, clock, latin, number, phone

COLOURS = ("#d64545", "#3c78d8", "#2e9d5b", "#e0a020", "#8e5cc2", "#20a0a8", "#e07038", "#6b7280")


def playing_card(look: Look, chance: Random) -> Design:
    look = replace(look, width=round(look.width * 0.55), paper="#fdfdf8")
    red, black = chance.choice(["#c81e1e", "#b03060"]), chance.choice(["#101010", "#202850"])
    symbols, big = latin("sans"), chance.random() < 0.4
    ranks = ["A", "2", "3", "4", "5", "6", "7", "8", "9", "10", "J", "Q", "K"]
    fields = {"card": among(product(ranks, "♠♥♦♣"))}

    def paint(of: Values) -> Image.Image:
        page = look.sheet(1400, "#2f6b3f")
        page.box(20, 20, 980, 1380, fill=look.paper, outline="#777777", width=4, radius=70)
        rank, suit = of["card"]
        colour = red if suit in "♥♦" else black
        page.write(80, 60, rank, 150, colour, bold=True)
        page.write(90, 230, suit, 130, colour, face=symbols)
        page.write(920, 1340, rank, 150, colour, bold=True, anchor="rs")
        pips = 1 if big or rank in "JQK" else ranks.index(rank) + 1
        columns = 1 if pips <= 3 else 2
        size = 420 if pips == 1 else 190
        for pip in range(pips):
            down, across = (pip, 0.5) if columns == 1 else divmod(pip, columns)
            top = 330 + 740 * (down + 0.5) / math.ceil(pips / columns)
            page.write(330 + 340 * across, top, suit, size, colour, anchor="mm", face=symbols)
        return page.image

    return Design(fields, paint)


def business_card(look: Look, chance: Random) -> Design:
    say, company = look.writing, look.writing.company(chance)
    sides, at, filled = chance.randint(3, 7), chance.choice([130, 870]), chance.random() < 0.5
    left = 240 if at < 500 else 60
    fields = {
        "name": say.name, "job": say.title(1, 2), "phone": phone, "address": say.address,
        "mail": lambda chance: f"{chance.choice(WORDS)}@example.org",
    }  # fmt: skip

    def paint(of: Values) -> Image.Image:
        page = look.sheet(600)
        if filled:
            page.box(at - 130, 0, at + 130, 600, fill=look.line)
        page.shape(polygon(at, 150, 80, sides), look.accent)
        page.write(left, 70, company, 36, look.accent, bold=True)
        page.write(left, 200, of["name"], 60, bold=True)
        page.write(left, 290, of["job"], 30)
        for row, name in enumerate(("phone", "mail", "address")):
            page.write(left, 400 + 50 * row, of[name], 28)
        return page.image

    return Design(fields, paint)


def chat(look: Look, chance: Random) -> Design:
    say, count = look.writing, chance.randint(5, 9)
    mine = [chance.random() < 0.5 for _ in range(count)]
    person, hue = say.name(chance), chance.choice(COLOURS)
    fields = {"clock": clock, **rows(count, text=say.words(2, 5), at=clock)}

    def paint(of: Values) -> Image.Image:
        page = look.sheet(180 + 150 * count)
        page.box(0, 0, 1000, 130, fill=hue)
        page.dot(90, 66, 42, "#ffffff")
        page.write(160, 44, person, 40, "#ffffff", bold=True)
        page.write(960, 50, of["clock"], 30, "#ffffff", anchor="ra")
        for row in range(count):
            left, top = (300, 160 + 150 * row) if mine[row] else (40, 160 + 150 * row)
            fill = hue if mine[row] else look.line
            page.box(left, top, left + 660, top + 120, fill=fill, radius=30)
            page.write(left + 30, top + 22, of[f"text{row}"], 27, "#ffffff")
            page.write(left + 630, top + 76, of[f"at{row}"], 24, "#ffffff", anchor="ra")
        return page.image

    return Design(fields, paint)


def window(look: Look, chance: Random) -> Design:
    say, desk = look.writing, chance.choice(COLOURS)
    left, top = chance.randint(60, 240), chance.randint(50, 140)
    icons, caption = chance.randint(3, 6), say.title(2, 3)(chance)
    fields = {
        "file": lambda chance: f"{chance.choice(WORDS)}_{chance.randint(1, 99)}.txt",
        **rows(3, text=say.words(4, 6)), "share": between(0.05, 0.95), "clock": clock,
    }  # fmt: skip

    def paint(of: Values) -> Image.Image:
        page = look.sheet(625, desk)
        page.box(0, 585, 1000, 625, fill="#20242c")
        page.write(985, 590, of["clock"], 24, "#ffffff", anchor="ra")
        for icon in range(icons):
            page.box(14, 20 + 90 * icon, 56, 62 + 90 * icon, fill=COLOURS[icon], radius=8)
        page.box(left, top, left + 700, top + 400, fill=look.paper, outline=look.line, radius=12)
        page.box(left, top, left + 700, top + 50, fill=look.accent, radius=12)
        page.write(left + 20, top + 10, caption, 26, "#ffffff", bold=True)
        page.write(left + 30, top + 75, of["file"], 30, bold=True)
        for row in range(3):
            page.write(left + 30, top + 130 + 42 * row, of[f"text{row}"])
        page.box(left + 30, top + 280, left + 670, top + 300, fill=look.line)
        page.box(left + 30, top + 280, left + 30 + 640 * of["share"], top + 300, fill=look.accent)
        for place, name in ((430, "Cancel"), (570, "Save")):
            page.box(left + place, top + 330, left + place + 110, top + 380, outline=look.line)
            page.write(left + place + 55, top + 340, say.heading(name), 24, anchor="ma")
        return page.image

    return Design(fields, paint)


def settings(look: Look, chance: Random) -> Design:
    say, count = look.writing, chance.randint(6, 11)
    labels = [say.title(2, 3)(chance) for _ in range(count)]
    fields: dict[str, Maker] = {f"switch{row}": among([False, True]) for row in range(count)}
    fields |= {f"value{row}": say.words(1, 1) for row in range(count)} | {"clock": clock}

    def paint(of: Values) -> Image.Image:
        page = look.sheet(150 + 120 * count)
        page.write(40, 40, say.heading("Settings"), 54, bold=True)
        page.write(960, 50, of["clock"], 30, anchor="ra")
        for row in range(count):
            top = 140 + 120 * row
            page.line(40, top, 960, top)
            page.write(40, top + 20, labels[row], 34)
            page.write(40, top + 66, of[f"value{row}"], 26, look.line)
            on = of[f"switch{row}"]
            page.box(840, top + 30, 950, top + 86, fill=look.accent if on else look.line, radius=28)
            page.dot(922 if on else 868, top + 58, 22, "#ffffff")
        return page.image

    return Design(fields, paint)


def street_map(look: Look, chance: Random) -> Design:
    say = look.writing
    land, road, park, river = chance.choice(
        [("#f2efe9", "#ffffff", "#c8e6b8", "#a8d0f0"), ("#242f3e", "#38485c", "#2a4436", "#17263c")]
    )
    streets = [[chance.uniform(-100, 1100) for _ in range(4)] for _ in range(chance.randint(9, 18))]
    parks = [(chance.uniform(0, 900), chance.uniform(0, 650)) for _ in range(5)]
    labels = [
        (chance.uniform(20, 800), chance.uniform(20, 700), say.place(chance)) for _ in range(6)
    ]
    bends = [chance.uniform(0, 750) for _ in range(6)]
    size = chance.choice([14, 24, 40])
    fields = {"x": between(40, 960), "y": between(70, 720), "pin": among(range(4))}

    def paint(of: Values) -> Image.Image:
        page = look.sheet(750, land)
        for x, y in parks:
            page.box(x, y, x + 150, y + 110, fill=park, radius=20)
        for step in range(5):
            page.line(
                200 * step, bends[step], 200 * step + 200, bends[step + 1], colour=river, width=26
            )
        for street in streets:
            page.line(*street, colour=road, width=14)
        for x, y, name in labels:
            page.write(x, y, name, 22, "#7a7a7a")
        x, y, colour = of["x"], of["y"], COLOURS[of["pin"]]
        page.shape([(x, y), (x - size * 0.6, y - size), (x + size * 0.6, y - size)], colour)
        page.dot(x, y - size * 1.3, size * 0.8, colour)
        page.dot(x, y - size * 1.3, size * 0.3, "#ffffff")
        return page.image

    return Design(fields, paint)


def month(look: Look, chance: Random) -> Design:
    say, year, which = look.writing, chance.randint(2018, 2026), chance.randint(1, 12)
    first, days = monthrange(year, which)
    events = [*range(1, days + 1, chance.randint(2, 5))]
    fields: dict[str, Maker] = {f"{day}": say.words(1, 1) for day in events}
    fields |= {f"colour{day}": among(range(len(COLOURS))) for day in events}

    def paint(of: Values) -> Image.Image:
        page = look.sheet(860)
        page.write(40, 24, f"{say.heading('Calendar')}  {year} / {which}", 44, bold=True)
        for day in range(1, days + 1):
            down, across = divmod(first + day - 1, 7)
            left, top = 20 + 137 * across, 100 + 124 * down
            page.box(left, top, left + 137, top + 124, outline=look.line)
            page.write(left + 10, top + 8, str(day), 24)
            if day in events:
                colour = COLOURS[of[f"colour{day}"]]
                page.box(left + 6, top + 56, left + 131, top + 106, fill=colour, radius=8)
                page.write(left + 14, top + 66, of[f"{day}"], 22, "#ffffff")
        return page.image

    return Design(fields, paint)


def chart(look: Look, chance: Random) -> Design:
    say, count, way = look.writing, chance.randint(5, 12), chance.choice(["bars", "line", "pie"])
    heading, names = say.title(2, 4)(chance), [say.words(1, 1)(chance) for _ in range(12)]
    fields = {f"value{place}": between(0.08, 1.0) for place in range(count)}

    def paint(of: Values) -> Image.Image:
        page = look.sheet(680)
        page.write(60, 30, heading, 40, bold=True)
        values = [of[f"value{place}"] for place in range(count)]
        if way == "pie":
            start, total = 0.0, sum(values)
            for place, value in enumerate(values):
                end = start + 360 * value / total
                box = page.at(60, 120, 580, 640)
                page.draw.pieslice(box, start, end, COLOURS[place % 8], look.paper)
                page.write(700, 120 + 42 * place, f"{names[place]} {value / total:.0%}", 24)
                page.box(660, 122 + 42 * place, 686, 148 + 42 * place, fill=COLOURS[place % 8])
                start = end
            return page.image
        for grid in range(6):
            page.line(90, 120 + 96 * grid, 960, 120 + 96 * grid, width=1)
            page.write(80, 108 + 96 * grid, str(100 - 20 * grid), 22, anchor="ra")
        wide = 870 / count
        points = [
            (90 + wide * (place + 0.5), 600 - 480 * value) for place, value in enumerate(values)
        ]
        for place, (x, y) in enumerate(points):
            page.write(x, 616, names[place][:3], 20, anchor="ma")
            if way == "bars":
                page.box(x - wide * 0.35, y, x + wide * 0.35, 600, fill=look.accent)
            else:
                page.dot(x, y, 9, look.accent)
        for one, other in pairwise(points) if way == "line" else ():
            page.line(*one, *other, colour=look.accent, width=5)
        return page.image

    return Design(fields, paint)


def code_editor(look: Look, chance: Random) -> Design:
    count, face = chance.randint(14, 26), latin("mono")
    indents = [chance.choice([0, 0, 1, 1, 2]) for _ in range(count)]
    keywords = [chance.choice(["if", "for", "return", "let", "def", ""]) for _ in range(count)]

    def statement(chance: Random) -> str:
        one, two, three = chance.choices(WORDS, k=3)
        return chance.choice(
            [f"{one}_{two} = {chance.randint(0, 999)}", f"{one}.{two}({three})", f"{one}[{two}]"]
        )

    fields = {f"line{row}": statement for row in range(count)} | {"file": among(WORDS)}

    def paint(of: Values) -> Image.Image:
        page = look.sheet(90 + 38 * count)
        page.box(0, 0, 1000, 56, fill=look.line)
        page.write(30, 12, f"{of['file']}.py", 26, face=face)
        for row in range(count):
            top, left = 70 + 38 * row, 100 + 50 * indents[row]
            page.write(70, top, str(row + 1), 24, look.line, anchor="ra", face=face)
            page.write(left, top, keywords[row], 24, look.accent, face=face)
            page.write(left + 18 * len(keywords[row]) + 20, top, of[f"line{row}"], 24, face=face)
        return page.image

    return Design(fields, paint)


def inbox(look: Look, chance: Random) -> Design:
    say, count = look.writing, chance.randint(6, 12)
    hues = [chance.choice(COLOURS) for _ in range(count)]
    fields = {
        **rows(count, sender=say.name, subject=say.words(3, 6), at=clock), "unread": number(2),
    }  # fmt: skip

    def paint(of: Values) -> Image.Image:
        page = look.sheet(120 + 110 * count)
        page.write(40, 34, f"{say.heading('Inbox')} ({of['unread']})", 46, bold=True)
        for row in range(count):
            top = 120 + 110 * row
            page.line(40, top, 960, top)
            page.dot(84, top + 54, 34, hues[row])
            page.write(140, top + 14, of[f"sender{row}"], 32, bold=True)
            page.write(140, top + 60, of[f"subject{row}"], 26)
            page.write(960, top + 18, of[f"at{row}"], 24, anchor="ra")
        return page.image

    return Design(fields, paint)


def polygon(x: float, y: float, radius: float, sides: int) -> list[tuple[float, float]]:
    turns = [2 * math.pi * side / sides - math.pi / 2 for side in range(sides)]
    return [(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]


TEMPLATES: dict[str, Callable[[Look, Random], Design]] = {
    "card": playing_card,
    "business": business_card,
    "chat": chat,
    "window": window,
    "settings": settings,
    "map": street_map,
    "calendar": month,
    "chart": chart,
    "code": code_editor,
    "inbox": inbox,
}
WIDTHS = (560, 1200)
"""Pixels."""
DARK = 0.4
"""Share of screens that are light on dark."""


def design(family: int, chance: Random) -> tuple[str, Design]:
    """A family of cards or screenshots: the name of its template, and its design."""
    name = [*TEMPLATES][family % len(TEMPLATES)]
    return name, TEMPLATES[name](Look.of(chance, WIDTHS, DARK), chance)
