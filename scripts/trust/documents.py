"""Documents made from one template, each with different numbers and words."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np
from PIL import Image, ImageFilter

from trust.canvas import Canvas, Look
from trust.families import Design, Finish, Values
from trust.writing import Maker, among, between, clock, number

A4 = 1414
"""Units of height."""


def rows(count: int, /, **columns: Maker) -> dict[str, Maker]:
    """The fields of a table: ``item0``, ``item1``, ... for a column called ``item``."""
    return {f"{name}{row}": make for row in range(count) for name, make in columns.items()}


def title(page: Canvas, text: str, size: float = 52) -> None:
    page.write(70, 60, text, size, page.look.accent, bold=True)


def invoice(look: Look, chance: Random) -> Design:
    say, lines, ruled = look.writing, chance.randint(4, 10), chance.random() < 0.6
    company, terms = say.company(chance), say.words(8, 11)(chance)
    fields = {
        "number": number(6, "R-"), "date": say.date, "client": say.name, "address": say.address,
        **rows(lines, item=say.title(2, 4), count=number(1), price=say.money(90_000)),
        "total": say.money(400_000),
    }  # fmt: skip

    def paint(of: Values) -> Image.Image:
        page = look.sheet(A4)
        title(page, say.heading("Invoice"))
        page.write(70, 140, company, 30, bold=True)
        page.write(930, 70, f"{say.heading('No.')} {of['number']}", anchor="ra")
        page.write(930, 110, of["date"], anchor="ra")
        page.write(70, 230, of["client"], 28)
        page.write(70, 270, of["address"], 24)
        page.box(70, 350, 930, 400, fill=look.line)
        for row in range(lines):
            top = 420 + 62 * row
            page.write(80, top, of[f"item{row}"])
            page.write(660, top, of[f"count{row}"], anchor="ra")
            page.write(920, top, of[f"price{row}"], anchor="ra")
            if ruled:
                page.line(70, top + 50, 930, top + 50)
        page.write(920, 460 + 62 * lines, of["total"], 34, bold=True, anchor="ra")
        page.write(560, 464 + 62 * lines, say.heading("Total"), 28)
        page.write(70, 1330, terms, 20, look.line)
        return page.image

    return Design(fields, paint)


def form(look: Look, chance: Random) -> Design:
    say, boxes = look.writing, chance.randint(6, 11)
    labels = [say.title(1, 2)(chance) for _ in range(boxes)]
    fields = {
        "number": number(8), "date": say.date,
        **rows(8, tick=among([False, True])),
    }  # fmt: skip
    answers = [say.name, say.address, say.words(2, 4), number(7)]
    fields |= {f"answer{row}": chance.choice(answers) for row in range(boxes)}

    def paint(of: Values) -> Image.Image:
        page = look.sheet(A4)
        title(page, say.heading("Application"))
        page.write(930, 80, of["number"], 30, anchor="ra")
        for row in range(boxes):
            top = 190 + 82 * row
            page.box(70, top, 930, top + 68, outline=look.line)
            page.line(330, top, 330, top + 68)
            page.write(84, top + 18, labels[row], 24)
            page.write(350, top + 18, of[f"answer{row}"], 28, look.accent)
        for row in range(8):
            left, top = 80 + 220 * (row % 4), 1140 + 70 * (row // 4)
            page.box(left, top, left + 40, top + 40, outline=look.ink)
            if of[f"tick{row}"]:
                page.line(left + 6, top + 20, left + 18, top + 34, colour=look.accent, width=7)
                page.line(left + 18, top + 34, left + 36, top + 4, colour=look.accent, width=7)
        page.write(70, 1310, f"{say.heading('Date')}  {of['date']}")
        page.line(560, 1340, 930, 1340)
        return page.image

    return Design(fields, paint)


def receipt(look: Look, chance: Random) -> Design:
    look = replace(look, width=round(look.width * 0.62))
    say, lines, shop = look.writing, chance.randint(3, 12), look.writing.company(chance)
    fields = {
        "number": number(5, "#"), "date": say.date, "time": clock,
        **rows(lines, item=say.words(1, 2), price=say.money(9_000)), "total": say.money(60_000),
    }  # fmt: skip

    def paint(of: Values) -> Image.Image:
        page = look.sheet(420 + 70 * lines)
        page.write(500, 40, shop, 50, bold=True, anchor="ma")
        page.write(60, 130, of["date"], 38)
        page.write(560, 130, of["time"], 38)
        page.write(940, 130, of["number"], 38, anchor="ra")
        page.line(40, 200, 960, 200)
        for row in range(lines):
            page.write(60, 220 + 70 * row, of[f"item{row}"], 40)
            page.write(940, 220 + 70 * row, of[f"price{row}"], 40, anchor="ra")
        page.line(40, 240 + 70 * lines, 960, 240 + 70 * lines)
        page.write(60, 270 + 70 * lines, say.heading("Total"), 46, bold=True)
        page.write(940, 270 + 70 * lines, of["total"], 46, bold=True, anchor="ra")
        return page.image

    return Design(fields, paint)


def timetable(look: Look, chance: Random) -> Design:
    say, down, across = look.writing, chance.randint(8, 16), chance.randint(4, 7)
    stops = [say.place(chance) for _ in range(down)]
    fields = {"line": say.place, "date": say.date}
    fields |= {f"{row} {column}": clock for row in range(down) for column in range(across)}

    def paint(of: Values) -> Image.Image:
        page = look.sheet(260 + 60 * down)
        title(page, say.heading("Timetable"), 44)
        page.write(930, 70, of["line"], 40, look.accent, bold=True, anchor="ra")
        page.write(930, 130, of["date"], 24, anchor="ra")
        for row, stop in enumerate(stops):
            top = 200 + 60 * row
            if row % 2:
                page.box(60, top - 8, 940, top + 50, fill=look.line)
            page.write(74, top, stop, 28, bold=True)
            for column in range(across):
                left = 300 + 640 * (column + 1) / across
                page.write(left, top, of[f"{row} {column}"], 26, anchor="ra")
        return page.image

    return Design(fields, paint)


def certificate(look: Look, chance: Random) -> Design:
    say, school = look.writing, look.writing.company(chance)
    text = [say.words(6, 8)(chance) for _ in range(2)]
    fields = {
        "name": say.name, "course": say.title(2, 3), "date": say.date, "number": number(7),
        "grade": among("ABCDE"),
    }  # fmt: skip

    def paint(of: Values) -> Image.Image:
        page = look.sheet(707)
        for inset, width in ((20, 10), (40, 3)):
            page.box(inset, inset, 1000 - inset, 707 - inset, outline=look.accent, width=width)
        page.write(500, 80, say.heading("Certificate"), 70, look.accent, bold=True, anchor="ma")
        page.write(500, 200, school, 30, anchor="ma")
        page.write(500, 270, of["name"], 56, bold=True, anchor="ma")
        for row, line in enumerate(text):
            page.write(500, 370 + 40 * row, line, 26, anchor="ma")
        page.write(500, 470, of["course"], 38, anchor="ma")
        page.write(90, 600, of["date"], 26)
        page.write(90, 560, of["number"], 22, look.line)
        page.write(850, 560, of["grade"], 60, look.accent, bold=True)
        return page.image

    return Design(fields, paint)


def ticket(look: Look, chance: Random) -> Design:
    say, carrier, high = look.writing, look.writing.company(chance), chance.randint(360, 460)
    fields = {
        "from": say.place, "to": say.place, "date": say.date, "time": clock, "name": say.name,
        "seat": number(2, "A"), "gate": number(2), "number": number(10),
        "price": say.money(40_000),
    }  # fmt: skip

    def paint(of: Values) -> Image.Image:
        page = look.sheet(high)
        page.box(0, 0, 1000, 76, fill=look.accent)
        page.write(30, 20, carrier, 34, look.paper, bold=True)
        page.write(970, 20, say.heading("Ticket"), 34, look.paper, anchor="ra")
        page.write(40, 100, of["from"], 50, bold=True)
        page.write(340, 100, "→", 50, face=page.look.faces[0] if say.japanese else None)
        page.write(420, 100, of["to"], 50, bold=True)
        page.write(40, 180, of["name"], 30)
        for left, name in ((40, "date"), (330, "time"), (470, "seat"), (610, "gate")):
            page.write(left, 250, of[name], 32)
        page.write(40, 310, of["price"], 28)
        page.line(760, 90, 760, high - 10)
        chance = Random(of["number"])  # the bars say the number
        left = 790.0
        while left < 960:
            wide = chance.choice([3, 5, 9])
            page.box(left, 110, left + wide, high - 90, fill=look.ink)
            left += wide + chance.choice([4, 6, 9])
        page.write(970, high - 60, of["number"], 26, anchor="ra")
        return page.image

    return Design(fields, paint)


def text_page(look: Look, chance: Random) -> Design:
    say, lines = look.writing, chance.randint(18, 42)
    pitch = 1180 / lines
    size = min(26, pitch * 0.7)
    fields = {f"line{row}": say.words(7, 9) for row in range(lines)}
    heading = say.title(3, 4)(chance)

    def paint(of: Values) -> Image.Image:
        page = look.sheet(A4)
        page.write(80, 70, heading, 40, bold=True)
        for row in range(lines):
            page.write(80, 150 + pitch * row, of[f"line{row}"], size)
        return page.image

    return Design(fields, paint)


def spreadsheet(look: Look, chance: Random) -> Design:
    say, down, across = look.writing, chance.randint(10, 22), chance.randint(4, 7)
    heads = [say.title(1, 1)(chance) for _ in range(across)]
    fields = {
        f"{row} {column}": say.money(10 ** chance.randint(3, 5)) if column else say.words(1, 1)
        for row in range(down)
        for column in range(across)
    }

    def paint(of: Values) -> Image.Image:
        page = look.sheet(60 + 44 * (down + 1))
        wide = 940 / across
        page.box(60, 0, 1000, 44, fill=look.accent)
        for row in range(down + 1):
            page.line(0, 44 * (row + 1), 1000, 44 * (row + 1))
            if row:
                page.write(50, 44 * row + 8, str(row), 22, look.line, anchor="ra")
        for column in range(across):
            right = 60 + wide * (column + 1)
            page.line(right, 0, right, 44 * (down + 1))
            page.write(right - 10, 8, heads[column], 22, look.paper, bold=True, anchor="ra")
            for row in range(down):
                page.write(right - 10, 44 * row + 52, of[f"{row} {column}"], 22, anchor="ra")
        return page.image

    return Design(fields, paint)


def statement(look: Look, chance: Random) -> Design:
    say, lines, bank = look.writing, chance.randint(8, 20), look.writing.company(chance)
    fields = {
        "account": number(10), "name": say.name, "date": say.date,
        **rows(lines, day=say.date, item=say.words(1, 3), sum=say.money(50_000)),
        "balance": say.money(900_000),
    }  # fmt: skip

    def paint(of: Values) -> Image.Image:
        page = look.sheet(A4)
        page.box(0, 0, 1000, 110, fill=look.accent)
        page.write(60, 30, bank, 44, look.paper, bold=True)
        page.write(60, 140, say.heading("Statement"), 34, bold=True)
        page.write(60, 190, f"{say.heading('Account')} {of['account']}")
        page.write(940, 190, of["name"], anchor="ra")
        page.write(940, 140, of["date"], anchor="ra")
        for row in range(lines):
            top = 260 + 48 * row
            page.write(60, top, of[f"day{row}"], 22)
            page.write(320, top, of[f"item{row}"], 22)
            page.write(940, top, of[f"sum{row}"], 22, anchor="ra")
            page.line(60, top + 40, 940, top + 40)
        page.write(60, 1320, say.heading("Balance"), 32, bold=True)
        page.write(940, 1320, of["balance"], 32, bold=True, anchor="ra")
        return page.image

    return Design(fields, paint)


def school_report(look: Look, chance: Random) -> Design:
    say, subjects = look.writing, chance.randint(5, 9)
    names = [say.title(1, 2)(chance) for _ in range(subjects)]
    fields = {
        "name": say.name, "date": say.date,
        **rows(subjects, mark=number(2), note=say.words(2, 4)),
        **rows(3, comment=say.words(6, 8)),
    }  # fmt: skip

    def paint(of: Values) -> Image.Image:
        page = look.sheet(A4)
        title(page, say.heading("Report"))
        page.write(70, 160, of["name"], 40, bold=True)
        page.write(930, 166, of["date"], anchor="ra")
        for row in range(subjects):
            top = 260 + 84 * row
            page.box(70, top, 930, top + 76, outline=look.line)
            page.write(90, top + 20, names[row], 28)
            page.write(460, top + 16, of[f"mark{row}"], 36, look.accent, bold=True, anchor="ra")
            page.write(490, top + 22, of[f"note{row}"], 24)
        page.write(70, 1080, say.heading("Notes"), 30, bold=True)
        for row in range(3):
            page.write(70, 1130 + 44 * row, of[f"comment{row}"])
        return page.image

    return Design(fields, paint)


TEMPLATES: dict[str, Callable[[Look, Random], Design]] = {
    "invoice": invoice,
    "form": form,
    "receipt": receipt,
    "timetable": timetable,
    "certificate": certificate,
    "ticket": ticket,
    "text": text_page,
    "spreadsheet": spreadsheet,
    "statement": statement,
    "report": school_report,
}
WIDTHS = (560, 1131)
"""Pixels: A4 at 1131 is 1600 high."""
SCANNED = 3
"""One family in so many was scanned."""


def scanned(chance: Random) -> Finish:
    """A scanner of its own for a family; each page lies on it in another way."""
    tint = [chance.uniform(0.88, 1.0) for _ in range(3)]
    most, grain, soft = chance.uniform(0.4, 2.5), chance.uniform(2, 9), chance.uniform(0.3, 0.8)
    skew, shade = between(-most, most), between(-22, 22)

    def finish(image: Image.Image, chance: Random) -> Image.Image:
        paper = image.getpixel((0, image.height - 1))
        turned = image.rotate(skew(chance), Image.Resampling.BICUBIC, fillcolor=paper)
        pixels = np.asarray(turned.filter(ImageFilter.GaussianBlur(soft)), np.float32) * tint
        height, width = pixels.shape[:2]
        noise = np.random.default_rng(chance.getrandbits(64))
        pixels += noise.normal(0, grain, (height, width, 1))
        pixels += np.linspace(0, shade(chance), width)[None, :, None]
        pixels += np.linspace(shade(chance), 0, height)[:, None, None]
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))

    return finish


def design(family: int, chance: Random) -> tuple[str, Design]:
    """A family of documents: the name of its template, and its design."""
    name = [*TEMPLATES][family % len(TEMPLATES)]
    made = TEMPLATES[name](Look.of(chance, WIDTHS), chance)
    if family % SCANNED == SCANNED - 1:
        return f"scanned-{name}", replace(made, finish=scanned(chance))
    return name, made
