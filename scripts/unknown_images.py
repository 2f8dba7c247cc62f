"""Images that belong to no class, for bench_unknown.py: drawings, and pages rendered by a
browser."""

import colorsys
import io
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

WINDOWS = ("1280,800", "390,844", "1920,1080")


def solid(random: np.random.Generator, number: int) -> Image.Image:
    """Return colours: hues, pastels and dark ones, greys, then random ones."""
    if number < 72:
        saturation, value = ((1, 1), (0.6, 0.9), (0.8, 0.45))[number // 24]
        colour = 255 * np.array(colorsys.hsv_to_rgb(number % 24 / 24, saturation, value))
    elif number < 88:
        colour = np.full(3, 17 * (number - 72))
    else:
        colour = random.integers(0, 256, 3)
    size = tuple(random.integers(200, 1300, 2).tolist())
    return Image.new("RGB", size, tuple(int(one) for one in colour))


def gradient(random: np.random.Generator, _: int) -> Image.Image:
    """Return a gradient of two or three colours along a line."""
    colours = random.integers(0, 256, (random.integers(2, 4), 1, 3), np.uint8)
    image = Image.fromarray(colours).resize((600, 600), Image.Resampling.BILINEAR)
    return image.rotate(random.uniform(0, 360)).crop((100, 100, 500, 500))


def noise(random: np.random.Generator, number: int) -> Image.Image:
    """Return noise: uniform, salt and pepper, or Gaussian around a colour."""
    shape = (*random.integers(200, 500, 2), 3)
    if number % 3 == 0:
        values = random.integers(0, 256, shape)
    elif number % 3 == 1:
        values = np.repeat(random.choice((0, 255), shape[:2])[..., None], 3, axis=2)
    else:
        values = random.normal(random.uniform(60, 200, 3), random.uniform(5, 60), shape)
    return Image.fromarray(np.uint8(np.clip(values, 0, 255)))


def code(random: np.random.Generator, number: int) -> Image.Image:
    """Return a QR code of random letters, in black or in a colour, or on a larger page."""
    letters = "".join(map(chr, random.integers(97, 123, random.choice((5, 20, 60, 200, 400)))))
    scale, border = int(random.choice((4, 7, 12))), int(random.choice((1, 2, 4, 6)))
    try:
        import segno
    except ImportError:
        side = int(random.choice((21, 25, 37, 57)))
        modules = np.pad(random.random((side, side)) < 0.5, border)
        grid = Image.fromarray(np.uint8(255 * ~modules)).convert("RGB")
        image = grid.resize((scale * len(modules),) * 2, Image.Resampling.NEAREST)
    else:
        target = io.BytesIO()
        dark = "black" if number % 3 else "#{:02x}{:02x}{:02x}".format(*random.integers(0, 120, 3))
        made = segno.make(f"https://example.org/{letters}", micro=False)
        made.save(target, kind="png", scale=scale, border=border, dark=dark)
        image = Image.open(target).convert("RGB")
    if number % 4:
        return image
    page = Image.new("RGB", (int(1.5 * image.width), int(1.3 * image.height)), "white")
    page.paste(image, (image.width // 4, image.height // 8))
    return page


def barcode(random: np.random.Generator, _: int) -> Image.Image:
    """Return a barcode: black bars of one to four widths."""
    bars = np.repeat(np.arange(random.integers(50, 120)) % 2 == 1, 1)
    bars = np.repeat(bars, random.integers(1, 5, len(bars)))
    row = Image.fromarray(np.uint8(255 * bars)[None]).convert("RGB")
    image = row.resize((3 * len(bars), int(random.integers(80, 400))), Image.Resampling.NEAREST)
    page = Image.new("RGB", (image.width + 60, image.height + 60), "white")
    page.paste(image, (30, 30))
    return page


def chart(random: np.random.Generator, number: int) -> Image.Image:
    """Return a chart of bars, lines, points or shares."""
    figure, axes = plt.subplots(figsize=(6, 4))
    values = random.random((3, random.integers(4, 30)))
    if number % 4 == 0:
        axes.bar(np.arange(values.shape[1]), values[0])
    elif number % 4 == 1:
        axes.plot(values.cumsum(axis=1).T)
    elif number % 4 == 2:
        axes.scatter(values[0], values[1], 200 * values[2])
    else:
        axes.pie(values[0][:6])
    axes.set_title("Figure " + str(number))
    target = io.BytesIO()
    figure.savefig(target)
    plt.close(figure)
    return Image.open(target).convert("RGB")


DRAWN: dict[str, tuple[Callable[[np.random.Generator, int], Image.Image], int]] = {
    "solid": (solid, 160),
    "gradient": (gradient, 80),
    "noise": (noise, 60),
    "code": (code, 120),
    "barcode": (barcode, 60),
    "chart": (chart, 60),
}


def words(random: np.random.Generator, count: int) -> str:
    return " ".join(
        "".join(map(chr, random.integers(97, 123, random.integers(2, 9)))) for _ in range(count)
    )


def web_page(random: np.random.Generator, number: int) -> str:
    """Return the HTML of an article, a table, a form, a program, a month or a chat, in one of three
    styles."""
    style = (
        "body{font-family:sans-serif;margin:2em}",
        "body{font-family:serif;background:#222;color:#ddd;margin:3em}",
        "body{font-family:sans-serif;background:#f0f2f5}p,form{background:#fff;padding:1em}",
    )[number % 3]
    layout = number % 6
    if layout == 0:
        body = "".join(f"<h2>{words(random, 4)}</h2><p>{words(random, 60)}" for _ in range(8))
    elif layout == 1:
        cells = (f"<td>{random.integers(10**5)}" for _ in range(8 * 30))
        rows = ("".join(next(cells) for _ in range(8)) for _ in range(30))
        body = "<table border=1 cellpadding=6><tr>" + "<tr>".join(rows) + "</table>"
    elif layout == 2:
        field = "<form>{0} <input value={1}> <select><option>{1}</select> <button>{0}</button> "
        field += "<input type=checkbox checked> <input type=range> <progress value=.4></form>"
        body = "".join(field.format(words(random, 2), words(random, 1)) for _ in range(12))
    elif layout == 3:
        lines = (
            f"<span style=color:#98c379>{words(random, 1)}</span> = {words(random, 4)}"
            for _ in range(45)
        )
        body = "<pre style=background:#282c34;color:#abb2bf>" + "\n".join(lines) + "</pre>"
    elif layout == 4:
        days = "".join(
            f"<div style='border:1px solid #aaa;height:90px'>{day}<br><small>{words(random, 2)}"
            "</small></div>"
            for day in range(1, 32)
        )
        body = f"<div style='display:grid;grid-template-columns:repeat(7,1fr)'>{days}</div>"
    else:
        side = ("left:20%;background:#dcf8c6", "right:0;background:#e3f2fd")
        body = "".join(
            f"<p style='position:relative;width:60%;border-radius:1em;color:#222;{side[n % 2]}'>"
            f"{words(random, random.integers(3, 20))}"
            for n in range(18)
        )
    return f"<!doctype html><meta charset=utf-8><style>{style}</style><h1>Page</h1>{body}"


def text_page(random: np.random.Generator, number: int) -> str:
    """Return the HTML of a page in one or two columns."""
    columns, size = 1 + number % 2, int(random.integers(14, 28))
    style = f"body{{columns:{columns};font:{size}px serif;margin:4em;text-align:justify}}"
    paragraphs = "".join(f"<p>{words(random, random.integers(20, 120))}" for _ in range(30))
    return f"<!doctype html><style>{style}</style>{paragraphs}"


def shots(folder: Path) -> Iterator[tuple[str, Path]]:
    """Return web pages and pages of text rendered by Chromium: the set and the file of each."""
    if (chromium := shutil.which("chromium")) is None:
        print("there is no chromium: without web pages and pages of text")
        return
    random = np.random.default_rng(1)
    pages = [("web", web_page(random, number), WINDOWS) for number in range(18)]
    pages += [("text", text_page(random, number), ("827,1169",)) for number in range(24)]
    for number, (kind, text, sizes) in enumerate(pages):
        page = folder / f"{number}.html"
        page.write_text(text, "utf-8")
        for size in sizes:
            target = folder / f"{number}.{size}.png"
            command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
            command += [f"--window-size={size}", f"--screenshot={target}", page.as_uri()]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            yield kind, target


def unknown_images(photos: Path | None, scratch: Path) -> dict[str, list[Image.Image | Path]]:
    """Return the images of each set of unknowns."""
    found: dict[str, list[Image.Image | Path]] = {
        name: [draw(np.random.default_rng([7, number]), number) for number in range(count)]
        for name, (draw, count) in DRAWN.items()
    }
    for kind, file in shots(scratch):
        found.setdefault(kind, []).append(file)
    if photos is not None:
        files = sorted(
            file for file in photos.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg")
        )
        found["photo"] = [*files[:: max(1, len(files) // 300)]]
    return found
