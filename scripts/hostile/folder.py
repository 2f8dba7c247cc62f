"""A folder of hostile files among ordinary photographs, and which of them can be used."""

import json
import os
import pickle
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from hostile import fuzz
from hostile.encoded import (
    ASCII,
    LONG,
    PNG,
    SHORT,
    bmp,
    chunk,
    directory,
    encoded,
    gif,
    gif_comment,
    jpeg_scans,
    jpeg_sized,
    photo,
    png,
    riff,
    segment,
    tiff,
    with_chunks,
    with_segment,
    zeros,
)

PHOTOS = 20
SHARES = (0.02, 0.4, 0.9)
"""Share of a truncated file that remains."""

Make = Callable[[bytes], object]
"""Writes the file at a path."""


@dataclass(frozen=True)
class Hostile:
    """A hostile file."""

    kind: str
    name: bytes
    """Path below the folder."""
    content: bytes | Make
    usable: bool | None = None
    """Whether it must be used (True), must be listed as a failure (False), or may be either."""
    is_listed: bool = True
    """Whether it counts as a file; folders do not."""


def write_photos(folder: Path, random: np.random.Generator) -> list[Path]:
    """Write the ordinary photographs, and return their paths."""
    paths = [folder / f"photo{number:02}.jpg" for number in range(PHOTOS)]
    for path in paths:
        path.write_bytes(encoded(photo(random, (480, 360)), "JPEG", quality=92))
    return paths


def write(folder: Path, files: list[Hostile]) -> None:
    """Write hostile files below a folder."""
    for file in files:
        path = os.path.join(os.fsencode(folder), file.name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if isinstance(file.content, bytes):
            with open(path, "wb") as target:
                target.write(file.content)
        else:
            file.content(path)


def hostile_files(random: np.random.Generator, *, large: bool = True) -> list[Hostile]:
    """Return all hostile files; without ``large``, none that takes seconds to write or to
    decode."""
    makers = [
        claims, _aspects, _metadata, _exif, _profiles, _frames, tiffs, _mpos, _jpegs, _pngs,
        _other_formats, special, _foreign, names,
    ]  # fmt: skip
    good = fuzz.samples(random)  # first: from then on Pillow writes HEIF, if it is installed
    made = [file for maker in makers for file in maker(random)]
    made += _damaged(good, random)
    return [*made, *_large()] if large else made


# -- size ------------------------------------------------------------------------------------------


def claims(random: np.random.Generator) -> Iterator[Hostile]:
    """Return headers with far more pixels than the data has."""
    image = photo(random)
    jpeg = encoded(image, "JPEG")
    yield Hostile("bomb: claimed size", b"claims.png", png(50_000, 50_000, pixels=False), False)
    yield Hostile("bomb: claimed size", b"most.png", png(2**31 - 1, 2**31 - 1, pixels=False), False)
    yield Hostile("bomb: claimed size", b"claims.jpg", jpeg_sized(jpeg, 65_500, 65_500), False)
    yield Hostile("bomb: claimed size", b"claims.gif", gif(65_535, 65_535), False)
    yield Hostile("bomb: claimed size", b"claims.bmp", bmp(100_000, 100_000), False)
    yield Hostile("bomb: claimed size", b"claims.tif", tiff(100_000, 100_000, zeros(9)), False)
    webp = riff([(b"VP8X", b"\x10\0\0\0" + b"\xff\xff\xff" * 2)])
    yield Hostile("bomb: claimed size", b"claims.webp", webp, False)
    jp2 = bytearray(encoded(image, "JPEG2000", no_jp2=True))
    jp2[8:16] = struct.pack(">II", 100_000, 100_000)
    yield Hostile("bomb: claimed size", b"claims.j2k", bytes(jp2), False)
    for kind, suffix in (("AVIF", b"avif"), ("HEIF", b"heic")):
        if kind in Image.SAVE:
            data = encoded(image, kind)
            at = data.index(b"ispe") + 8
            lie = data[:at] + struct.pack(">II", 60_000, 60_000) + data[at + 8 :]
            yield Hostile("bomb: claimed size", b"claims." + suffix, lie, False)


def _large() -> Iterator[Hostile]:
    """Return small files of many pixels, below and above the limits."""
    kind = "bomb: black pixels"
    yield Hostile(kind, b"over.png", png(20_000, 20_000), False)
    yield Hostile(kind, b"rgba.png", png(13_300, 13_300, colour=6), True)
    yield Hostile(kind, b"rgb16.png", png(13_300, 13_300, colour=2, bits=16), True)
    yield Hostile(kind, b"grey16.png", png(13_300, 13_300, bits=16), True)
    side = 12_000
    yield Hostile(kind, b"rgba.tif", tiff(side, side, zeros(side**2 * 4), channels=4), True)
    floats = tiff(side, side, zeros(side**2 * 4), bits=32, more=[(339, SHORT, 1, 3)])
    yield Hostile(kind, b"floats.tif", floats, True)
    yield Hostile(kind, b"rle.bmp", bmp(side, side, b"\0\1" * 4, bits=8, packed=1))
    yield Hostile(kind, b"canvas.gif", gif(13_000, 13_000, frames=2_000))
    plain = Image.new("RGB", (side, side), (90, 120, 200))
    yield Hostile(kind, b"base.jpg", encoded(plain, "JPEG"), True)
    yield Hostile(kind, b"progressive.jpg", encoded(plain, "JPEG", progressive=True), True)
    yield Hostile(kind, b"tiles.jp2", encoded(plain, "JPEG2000", tile_size=(1024, 1024)), True)
    yield Hostile(kind, b"over.webp", encoded(plain, "WEBP", lossless=True, method=0), False)
    most = encoded(plain.resize((10_000, 9_000)), "WEBP", lossless=True, method=0)
    yield Hostile(kind, b"most.webp", most, True)
    smaller = plain.resize((8_000, 8_000))
    yield Hostile(kind, b"plain.avif", encoded(smaller, "AVIF", speed=10), True)
    if "HEIF" in Image.SAVE:
        yield Hostile(kind, b"plain.heic", encoded(smaller, "HEIF"), True)
    for number in range(4):
        start = png(40 + number, 40)
        giant = partial(_sparse, start, 10**9)
        yield Hostile("small image, large file", b"giant%d.png" % number, giant, True)
    kind = "odd aspect, large"
    yield Hostile(kind, b"high.png", png(1, 178_000_000), False)
    yield Hostile(kind, b"wide.png", png(178_000_000, 1), False)
    yield Hostile(kind, b"high40.png", png(1, 40_000_000))
    yield Hostile(kind, b"wide40.png", png(40_000_000, 1))
    yield Hostile(kind, b"high.tif", tiff(1, 30_000_000, zeros(30_000_000)))


def _aspects(random: np.random.Generator) -> Iterator[Hostile]:
    del random
    for kind, suffix, most in (("JPEG", "jpg", 65_500), ("WEBP", "webp", 16_383),
                               ("GIF", "gif", 65_535), ("BMP", "bmp", 90_000)):  # fmt: skip
        for name, size in (("wide", (most, 1)), ("high", (1, most))):
            data = encoded(Image.new("RGB", size, (200, 90, 30)), kind)
            yield Hostile("odd aspect", f"{name}.{suffix}".encode(), data, True)
    yield Hostile("no pixels", b"none.png", png(0, 0), False)
    yield Hostile("no pixels", b"none.bmp", bmp(0, 10), False)
    yield Hostile("no pixels", b"none.tif", tiff(0, 0, b""), False)
    yield Hostile("one pixel", b"one.png", png(1, 1), True)
    yield Hostile("one pixel", b"one.gif", gif(1, 1), True)


# -- what is besides the pixels --------------------------------------------------------------------


def _metadata(random: np.random.Generator) -> Iterator[Hostile]:
    image = photo(random)
    plain = encoded(image, "PNG")
    for size in (70_000, 5_000_000):
        data = gif(40, 30, gif_comment(b"c" * size))
        yield Hostile("GIF comment", f"comment{size}.gif".encode(), data, True)
    bomb = zeros(300_000_000)
    kind = "PNG chunks"
    texts = {
        b"text": (b"tEXt", b"a\0" + b"t" * 8_000_000), b"packed": (b"zTXt", b"a\0\0" + bomb),
        b"utf8": (b"iTXt", b"a\0\1\0\0\0" + bomb), b"profile": (b"iCCP", b"a\0\0" + bomb),
        b"xmp": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb),
        b"exif-text": (b"zTXt", b"Raw profile type exif\0\0" + bomb),
        b"exif": (b"eXIf", b"MM\0*" + b"\xff" * 4_000_000),
    }  # fmt: skip
    for name, content in texts.items():
        yield Hostile(kind, name + b".png", with_chunks(plain, content), True)
    many = with_chunks(plain, *[(b"tEXt", b"k%d\0v" % number) for number in range(50_000)])
    yield Hostile(kind, b"many.png", many, True)


def _exif(random: np.random.Generator) -> Iterator[Hostile]:
    """Return EXIF data that is noise, circular, or larger than the file."""
    image = photo(random)
    order = b"II*\0" + struct.pack("<I", 8)
    blocks = {
        "noise": random.bytes(4_000),
        "circle": order + directory([(0x8769, LONG, 1, 8), (0x8825, LONG, 1, 8)], 8),
        "count": order + directory([(0x0112, SHORT, 0xFFFFFFFF, 8), (0x010F, ASCII, 2**31, 8)]),
        "turn": order + directory([(0x0112, SHORT, 1, 99)]),
    }
    for name, block in blocks.items():
        for kind in ("JPEG", "PNG", "WEBP"):
            data = encoded(image, kind, exif=b"Exif\0\0" + block)
            yield Hostile("broken EXIF", f"{name}-{kind}.{kind}".lower().encode(), data, True)


def _profiles(random: np.random.Generator) -> Iterator[Hostile]:
    image = photo(random)
    profiles = {
        "noise": random.bytes(3_000), "short": b"ICC", "large": bytes(8_000_000),
        "lies": struct.pack(">I", 2**32 - 1) + random.bytes(32) + b"acsp" + random.bytes(200),
    }  # fmt: skip
    for name, profile in profiles.items():
        for kind in ("JPEG", "PNG", "TIFF", "WEBP"):
            if kind == "JPEG" and name == "large":
                continue  # a JPEG holds no such profile
            data = encoded(image, kind, icc_profile=profile)
            yield Hostile("broken ICC profile", f"{name}.{kind}".lower().encode(), data, True)
    yield Hostile("broken ICC profile", b"part.jpg", with_segment(
        encoded(image, "JPEG"), 0xE2, b"ICC_PROFILE\0\7\3" + bytes(90)), True)  # fmt: skip


def _frames(random: np.random.Generator) -> Iterator[Hostile]:
    image = photo(random, (40, 30))
    yield Hostile("many frames", b"frames.gif", gif(40, 30, frames=20_000), True)
    for kind, suffix in (("PNG", b"png"), ("WEBP", b"webp")):
        frames = [photo(random, (40, 30)) for _ in range(300)]
        data = encoded(image, kind, save_all=True, append_images=frames)
        yield Hostile("many frames", b"frames." + suffix, data, True)
    control = (b"acTL", struct.pack(">II", 2**31 - 1, 0))
    yield Hostile("many frames", b"claims.apng", with_chunks(encoded(image, "PNG"), control))


# -- formats ---------------------------------------------------------------------------------------


def tiffs(random: np.random.Generator) -> Iterator[Hostile]:
    """Return circular directories, and invalid counts and layouts."""
    del random
    good = {"width": 40, "height": 30, "data": bytes(1200), "packed": 1}
    yield Hostile("TIFF in a circle", b"self.tif", tiff(**good, following=8), True)
    sub = tiff(**good, more=[(330, LONG, 1, 8), (34665, LONG, 1, 8)])
    yield Hostile("TIFF in a circle", b"sub.tif", sub, True)
    first = tiff(**good)
    second = directory([(256, LONG, 1, 1)], 8)
    yield Hostile("TIFF in a circle", b"two.tif", tiff(**good, following=len(first)) + second, True)
    start = len(first)
    pages = b"".join(directory([], start + 6 * (number + 1)) for number in range(50_000))
    yield Hostile("TIFF of many pages", b"pages.tif", tiff(**good, following=start) + pages, True)
    most = 2**32 - 1
    for tag, name in ((270, b"text"), (258, b"bits"), (34675, b"profile"), (700, b"xmp")):
        data = tiff(**good, more=[(tag, ASCII if tag != 258 else SHORT, most, 8)])
        yield Hostile("TIFF: counts of tags", name + b".tif", data)
    strips = bytearray(first)
    for tag in (273, 279):
        at = first.index(struct.pack("<HH", tag, LONG)) + 4
        strips[at : at + 4] = struct.pack("<I", most)
    yield Hostile("TIFF: counts of tags", b"strips.tif", bytes(strips), False)
    yield Hostile(
        "TIFF: counts of tags", b"count.tif", b"II*\0\x08\0\0\0\xff\xff" + bytes(9), False
    )
    tile = tiff(40, 30, zeros(9), tile=60_000)
    yield Hostile("TIFF: absurd layout", b"tile.tif", tile, False)
    yield Hostile("TIFF: absurd layout", b"channels.tif", tiff(40, 30, zeros(99), channels=65_535))
    yield Hostile("TIFF: absurd layout", b"depth.tif", tiff(40, 30, zeros(99), bits=65_535))
    yield Hostile("TIFF: absurd layout", b"packed.tif", tiff(40, 30, bytes(99), packed=60_000))
    odd = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45], np.float32)
    floats = np.resize(odd, 1200).tobytes()
    data = tiff(40, 30, floats, packed=1, bits=32, more=[(339, SHORT, 1, 3)])
    yield Hostile("TIFF: numbers that are none", b"nan.tif", data)


def _mpos(random: np.random.Generator) -> Iterator[Hostile]:
    jpeg = encoded(photo(random), "JPEG")
    tags = {
        "count": [(0xB001, LONG, 1, 2**31), (0xB002, 7, 16, 60)],
        "offset": [(0xB001, LONG, 1, 2), (0xB002, 7, 32, 2**31)],
        "none": [(0xB001, LONG, 1, 0), (0xB002, 7, 0, 60)],
    }
    for name, entries in tags.items():
        block = b"MPF\0II*\0" + struct.pack("<I", 8) + directory(entries) + random.bytes(64)
        yield Hostile("broken MPO", f"{name}.mpo.jpg".encode(), with_segment(jpeg, 0xE2, block))
    good = encoded(photo(random), "MPO", save_all=True, append_images=[photo(random)])
    yield Hostile("broken MPO", b"half.mpo.jpg", good[: len(good) // 2 + 99], True)


def _jpegs(random: np.random.Generator) -> Iterator[Hostile]:
    image = photo(random)
    jpeg = encoded(image, "JPEG")
    progressive = encoded(Image.new("RGB", (1600, 1200)), "JPEG", progressive=True)
    yield Hostile("JPEG of many scans", b"scans.jpg", jpeg_scans(progressive, 10_000), False)
    start = jpeg.index(b"\xff\xc4")
    size = int.from_bytes(jpeg[start + 2 : start + 4], "big") + 2
    tables = jpeg[:start] + jpeg[start + size :]
    yield Hostile("JPEG without tables", b"tables.jpg", tables)
    yield Hostile("JPEG of segments only", b"segments.jpg", b"\xff\xd8" + segment(
        0xE1, bytes(60_000)) * 200 + b"\xff\xd9", False)  # fmt: skip
    yield Hostile("JPEG of segments only", b"starts.jpg", b"\xff\xd8" * 500_000, False)
    yield Hostile("JPEG with a tail", b"archive.jpg", jpeg + _zip(), True)
    yield Hostile("JPEG with a tail", b"fill.jpg", jpeg + bytes(3_000_000), True)
    yield Hostile("JPEG with a tail", b"inside.jpg", with_segment(jpeg, 0xE1, jpeg[:60_000]), True)


def _pngs(random: np.random.Generator) -> Iterator[Hostile]:
    image = photo(random)
    good = encoded(image, "PNG")
    indexed = encoded(image.quantize(16), "PNG")
    start = indexed.index(b"PLTE") - 4
    size = int.from_bytes(indexed[start : start + 4], "big") + 12
    yield Hostile("PNG palette", b"none.palette.png", indexed[:start] + indexed[start + size :])
    yield Hostile("PNG palette", b"large.palette.png", with_chunks(indexed, (b"PLTE", bytes(9000))))
    yield Hostile("PNG order", b"headless.png", PNG + good[33:], False)
    yield Hostile("PNG order", b"ended.png", good[:33] + chunk(b"IEND", b""), False)
    yield Hostile("PNG order", b"twice.png", good[:33] + good[8:])
    wrong = bytearray(good)
    wrong[29] ^= 255
    yield Hostile("PNG checksum", b"checksum.png", bytes(wrong), False)
    content = zlib.compress(random.bytes(50_000))
    noise = PNG + good[8:33] + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    yield Hostile("PNG of noise", b"random.png", noise)


def _other_formats(random: np.random.Generator) -> Iterator[Hostile]:
    image = photo(random)
    yield Hostile("broken BMP", b"down.bmp", bmp(40, -30, bytes(3600)), True)
    yield Hostile("broken BMP", b"bits.bmp", bmp(40, 30, bytes(3600), bits=77), False)
    yield Hostile("broken BMP", b"packed.bmp", bmp(40, 30, bytes(99), bits=8, packed=99), False)
    yield Hostile(
        "broken BMP", b"rle.small.bmp", bmp(40, 30, b"\0\2\xff\xff" * 9, bits=8, packed=1)
    )
    webp = encoded(image, "WEBP")
    yield Hostile("broken WebP", b"length.webp", webp[:4] + b"\xff" * 4 + webp[8:])
    yield Hostile("broken WebP", b"chunk.webp", webp[:16] + b"\xff" * 4 + webp[20:], False)
    code = gif(40, 30).replace(b"\x02\x02\x44\x01", b"\x0d\x02\x44\x01")
    yield Hostile("broken GIF", b"code.gif", code)
    yield Hostile("broken GIF", b"nothing.gif", gif(40, 30, frames=0), False)
    jp2 = encoded(image, "JPEG2000", no_jp2=True)
    for name, at in ((b"tile", 24), (b"offset", 16)):
        data = jp2[:at] + struct.pack(">II", 1, 1) + jp2[at + 8 :]
        yield Hostile("broken JPEG 2000", name + b".j2k", data)
    channels = jp2[:40] + struct.pack(">H", 16_384) + jp2[42:]
    yield Hostile("broken JPEG 2000", b"channels.j2k", channels, False)
    avif = encoded(image, "AVIF")
    at = avif.index(b"iloc")
    yield Hostile("broken AVIF", b"places.avif", avif[: at + 8] + b"\xff" * 12 + avif[at + 20 :])
    yield Hostile("broken AVIF", b"boxes.avif", avif[:32] + b"\0\0\0\0" + avif[36:])
    for suffix in (b"cr2", b"nef", b"dng", b"raf", b"cr3", b"x3f"):
        yield Hostile("no RAW", b"noise." + suffix, random.bytes(2_000), False)


def _damaged(good: dict[str, bytes], random: np.random.Generator) -> Iterator[Hostile]:
    """Return every format truncated, and with wrong bits."""
    for number, (name, data) in enumerate(good.items()):
        suffix = name.split()[0].strip(",")
        for share in SHARES:
            cut = data[: int(len(data) * share)]
            file = f"cut{number:02}-{share}.{suffix}".encode()
            yield Hostile("truncated", file.replace(b".mpo", b".mpo.jpg"), cut)
        damaged = bytearray(data)
        for place in random.integers(0, len(data), 6):
            damaged[place] ^= 1 << int(random.integers(8))
        file = f"bits{number:02}.{suffix}".encode()
        yield Hostile("bits that are wrong", file.replace(b".mpo", b".mpo.jpg"), bytes(damaged))


# -- no images, and no files -----------------------------------------------------------------------


def special(random: np.random.Generator) -> Iterator[Hostile]:
    """Return special files: not regular, empty, or endless."""
    del random

    def link(target: str) -> Make:
        return partial(os.symlink, target)

    for target in ("zero", "null", "tty", "random", "full"):
        name = f"device-{target}.jpg".encode()
        yield Hostile("link to a device", name, link(f"/dev/{target}"), False)
    for target in ("self/mem", "self/maps", "self/pagemap", "cpuinfo", "kmsg", "kcore"):
        if os.path.exists(f"/proc/{target}"):
            name = f"proc-{target.replace('/', '-')}.jpg".encode()
            yield Hostile("link into /proc", name, link(f"/proc/{target}"), False)
    yield Hostile("named pipe", b"pipe.jpg", os.mkfifo, False)
    yield Hostile("socket", b"socket.jpg", _socket, False)
    yield Hostile("empty file", b"empty.jpg", b"", False)
    yield Hostile("empty file", b"empty.png", b"", False)
    yield Hostile("sparse file", b"sparse.jpg", partial(_sparse, b"\xff\xd8\xff", 5 * 10**9), False)
    yield Hostile("folder named like an image", b"folder.jpg", os.mkdir, is_listed=False)
    yield Hostile("dangling link", b"dangling.jpg", link("nowhere.jpg"), False)
    yield Hostile("circular link", b"circle.jpg", link("circle.jpg"), False)
    yield Hostile("circular link", b"there.jpg", link("back.jpg"), False)
    yield Hostile("circular link", b"back.jpg", link("there.jpg"), False)
    yield Hostile("circular folders", b"loop/again", link("../loop"), is_listed=False)


def _socket(path: bytes) -> None:
    # The address of a socket is a short one, so it is given from where it is.
    before = os.getcwd()
    os.chdir(os.path.dirname(path))
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.path.basename(path))
    finally:
        os.chdir(before)


def _sparse(start: bytes, size: int, path: bytes) -> None:
    with open(path, "wb") as file:
        file.write(start)
        file.truncate(size)


def _foreign(random: np.random.Generator) -> Iterator[Hostile]:
    laughs = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
    contents = {
        "text": b"this is no picture\n" * 9,
        "html": b"<!doctype html><script>alert(1)</script><img src=x onerror=alert(1)>",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><rect width='9' height='9'/></svg>",
        "laughs": f"<!DOCTYPE svg [<!ENTITY a0 'ha'>{laughs}]><svg>&a9;</svg>".encode(),
        "zip": _zip(), "pickle": pickle.dumps({"a": list(range(99))}),
        "reduce": b"cos\nsystem\n(S'touch pickled'\ntR.", "json": json.dumps([1, 2]).encode(),
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(pickled) (w) file\n",
        "pdf": b"%PDF-1.7\n1 0 obj<<>>endobj\n", "psd": b"8BPS\0\1" + bytes(40),
        "elf": b"\x7fELF" + bytes(99), "noise": random.bytes(5_000), "zeros": bytes(5_000),
        "start": b"\xff\xd8", "magic": PNG, "riff": b"RIFF\xff\xff\xff\xffWEBP",
        "ftyp": b"\0\0\0\x18ftypavif" + bytes(30), "ppm": b"P6 9999999 9999999 255\n",
    }  # fmt: skip
    for name, data in contents.items():
        yield Hostile("no image", f"{name}.is-no.jpg".encode(), data, False)
    for kind, suffix in (("PNG", b"jpg"), ("JPEG", b"png"), ("GIF", b"tiff"), ("BMP", b"nef")):
        data = encoded(photo(random), kind)
        yield Hostile("other suffix", kind.encode() + b".other." + suffix, data, True)


def _zip() -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.png", bytes(20_000_000))
    return file.getvalue()


def names(random: np.random.Generator) -> Iterator[Hostile]:
    """Return good files with hostile names, and one that fails."""
    paths = {
        "newline": b"a\nb\r\n.jpg", "Japanese": "ラーメン二郎 三田本店.jpg".encode(),
        "no UTF-8": b"caf\xe9\xff\xfe.jpg", "no UTF-8, Shift JIS": "写真.jpg".encode("shift_jis"),
        "control characters": b"\x1b[31mred\x07\x01.jpg", "long": b"l" * 251 + b".jpg",
        "markup": b"<img src=x onerror=alert(1)>&quot;'\".jpg", "quotes": b"a'b\"c`$(id);--.jpg",
        "right to left": "\u202egpj.exe.jpg".encode(), "spaces": b"   .jpg",
        "option": b"--help.jpg", "surrogates": b"\xed\xa0\x80.jpg",
        "backslash": b"a\\b%2e*?[x].jpg",
        "deep": b"/".join([b"deep"] * 150) + b"/photo.jpg",
        "long folders": b"/".join([b"f" * 200] * 17) + b"/photo.jpg",
    }  # fmt: skip
    for name, path in paths.items():
        data = encoded(photo(random, (64, 48)), "JPEG")
        yield Hostile(f"name: {name}", b"names/" + path, data, True)
        if name == "no UTF-8":
            yield Hostile(f"name: {name}", b"names/broken\xe9\n.jpg", data[:300], False)
