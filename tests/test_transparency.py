"""The background of transparent images, and its stability under changes of the file."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from conftest import draw_photo
from PIL import Image, ImageDraw, ImageFilter
from test_images import encoded

from embedkit.images.decode import Decoder
from embedkit.images.strips import strips
from embedkit.images.transparency import GREY, WHITE, background, composite

Draw = Callable[[], Image.Image]
CLEAR = (255, 255, 255, 0)


def strokes(width: int = 6, colour: tuple[int, ...] = (255, 255, 255, 255)) -> Image.Image:
    """Thin lines on a transparent background."""
    image = Image.new("RGBA", (400, 400), CLEAR)
    draw, generator = ImageDraw.Draw(image), random.Random(3)
    for _ in range(12):
        draw.line([generator.randint(10, 390) for _ in range(4)], fill=colour, width=width)
    return image


def body(
    colour: tuple[int, ...] = (255, 255, 255, 255), outline: str | None = None, width: int = 4
) -> Image.Image:
    """A large shape on a transparent background."""
    image = Image.new("RGBA", (400, 400), CLEAR)
    corners = [(200, 30), (370, 160), (300, 350), (90, 370), (20, 140)]
    ImageDraw.Draw(image).polygon(corners, fill=colour, outline=outline, width=width)
    return image


def over(image: Image.Image, box: tuple[int, int, int, int], colour: str) -> Image.Image:
    """The image with a part of another colour where it is not transparent."""
    part = Image.new("RGBA", image.size, colour)
    image.paste(part.crop(box), box[:2], image.getchannel("A").crop(box))
    return image


def shadowed(image: Image.Image, offset: tuple[int, int], share: float) -> Image.Image:
    """The image with a soft black shadow behind it."""
    alpha = Image.new("L", image.size)
    alpha.paste(image.getchannel("A"), offset)
    alpha = alpha.filter(ImageFilter.GaussianBlur(6)).point(lambda value: int(value * share))
    shadow = Image.new("RGBA", image.size, (0, 0, 0, 0))
    shadow.putalpha(alpha)
    return Image.alpha_composite(shadow, image)


def speckled() -> Image.Image:
    """White lines with a few grey pixels."""
    image = strokes()
    for number in range(40):
        image.putpixel((9 * number + 7, 200), (128, 128, 128, 255))
    return image


def rimmed() -> Image.Image:
    """A dark shape with a white rim of two pixels, as if cut out from a white page."""
    image = body((255, 255, 255, 255))
    inner = image.getchannel("A").filter(ImageFilter.MinFilter(5))
    image.paste((40, 60, 90, 255), (0, 0), inner)
    return image


def faint(level: int) -> Image.Image:
    """Nearly transparent white everywhere, and a few black strokes."""
    image = Image.new("RGBA", (400, 400), (255, 255, 255, level))
    ImageDraw.Draw(image).line((30, 30, 60, 350), fill=(0, 0, 0, 255), width=3)
    return image


CASES: dict[str, tuple[Draw, tuple[int, int, int]]] = {
    "white strokes": (strokes, GREY),
    "thin white strokes": (lambda: strokes(1), GREY),
    "white with a few grey pixels": (speckled, GREY),
    "nearly white": (lambda: body((240, 238, 242, 255)), GREY),
    "half transparent white": (lambda: body((255, 255, 255, 128)), GREY),
    "a white body with a small red detail": (
        lambda: over(body(), (180, 180, 250, 250), "red"),
        GREY,
    ),
    "half white, half blue": (lambda: over(body(), (0, 0, 200, 400), "navy"), GREY),
    "white with a shadow to one side": (lambda: shadowed(body(), (9, 9), 0.5), GREY),
    "white with a faint shadow": (lambda: shadowed(strokes(), (4, 4), 0.25), GREY),
    "white with a shadow all around": (lambda: shadowed(body(), (0, 0), 0.6), WHITE),
    "white with an outline": (lambda: body(outline="black"), WHITE),
    "black strokes": (lambda: strokes(colour=(0, 0, 0, 255)), WHITE),
    "yellow": (lambda: body((255, 255, 0, 255)), WHITE),
    "mid-grey": (lambda: body((128, 128, 128, 255)), WHITE),
    "dark with a white rim": (rimmed, WHITE),
    "black strokes in a veil of white": (lambda: faint(4), WHITE),
    "nearly invisible white": (lambda: Image.new("RGBA", (400, 400), (255, 255, 255, 3)), WHITE),
    "nothing": (lambda: Image.new("RGBA", (400, 400), CLEAR), WHITE),
    "opaque white": (lambda: Image.new("RGBA", (400, 400), "white"), WHITE),
    "a photo": (lambda: draw_photo(1, (400, 400)).convert("RGBA"), WHITE),
}


@pytest.mark.parametrize(("draw", "colour"), CASES.values(), ids=CASES)
def test_the_background_is_white_unless_the_content_would_vanish(
    draw: Draw, colour: tuple[int, int, int]
) -> None:
    image = draw()
    assert background(image) == colour
    for size in ((200, 200), (800, 800), (1300, 1300)):
        assert background(image.resize(size, Image.Resampling.LANCZOS)) == colour, size
    squashed = image.resize((900, 300), Image.Resampling.BICUBIC)
    assert background(squashed) == colour
    assert background(image.transpose(Image.Transpose.ROTATE_90)) == colour
    assert Decoder(encoded(image, "WEBP", quality=50)).background in (colour, None)
    data = encoded(image, "PNG")
    decoder = Decoder(data)
    assert decoder.is_transparent
    assert decoder.background == colour
    expected = Image.alpha_composite(Image.new("RGBA", image.size, (*colour, 255)), image)
    assert decoder.at_least().tobytes() == expected.convert("RGB").tobytes()


def test_colours_of_transparent_pixels_do_not_matter() -> None:
    one, other = body(), body()
    hidden = Image.new("RGBA", one.size, (10, 90, 200, 0))
    other = Image.composite(other, hidden, other.getchannel("A").point(lambda value: value and 255))
    first, second = Decoder(encoded(one)), Decoder(encoded(other))
    assert first.background == second.background == GREY
    assert first.at_least().tobytes() == second.at_least().tobytes()
    assert first.rgba().tobytes() == second.rgba().tobytes()
    assert second.rgba().getpixel((0, 0)) == (0, 0, 0, 0)


def test_other_ways_to_be_transparent_have_the_same_background() -> None:
    white = Image.new("P", (40, 40), 0)
    white.putpalette([255, 255, 255, 255, 255, 254])
    ImageDraw.Draw(white).rectangle((10, 10, 29, 29), fill=1)
    grey = Image.new("LA", (40, 40), (255, 0))
    ImageDraw.Draw(grey).rectangle((10, 10, 29, 29), fill=(255, 255))
    values = np.full((40, 40), 65_535, np.uint16)
    values[:10] = 65_534
    deep = Image.fromarray(values)
    for data in (
        encoded(white, "PNG", transparency=0),
        encoded(white, "GIF", transparency=0),
        encoded(grey, "PNG"),
        encoded(deep, "PNG", transparency=65_534),
    ):
        decoder = Decoder(data)
        assert decoder.background == GREY
        assert {decoder.at_least().getpixel((20, 0))} == {GREY}
        assert min(decoder.at_least().getpixel((20, 20))) > 250
    assert Decoder(encoded(draw_photo(1))).background is None


def test_pixels_with_their_alpha_are_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.new("RGBA", (60, 40), (0, 0, 255, 128))
    stored.paste((255, 0, 0, 255), (0, 20, 30, 40))  # bottom left; top left once upright
    pixels = Decoder(encoded(stored, "PNG", exif=exif)).rgba()
    assert (pixels.mode, pixels.size) == ("RGBA", (40, 60))
    assert pixels.getpixel((5, 5)) == (255, 0, 0, 255)
    assert pixels.getpixel((35, 55)) == (0, 0, 255, 128)
    opaque = Decoder(encoded(draw_photo(1), "JPEG"))
    assert opaque.rgba().getchannel("A").getextrema() == (255, 255)
    assert opaque.rgba().convert("RGB").tobytes() == opaque.at_least(short=240).tobytes()


def test_strips_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    for draw, colour in (CASES["white strokes"], CASES["white with an outline"]):
        image = draw().resize((1000, 700))
        whole = composite(image, colour)
        decoder = Decoder(encoded(image))
        hidden = decoder.rgba().tobytes()
        monkeypatch.setattr("embedkit.images.strips.STRIP_PIXELS", 30_000)
        assert len(list(strips(image))) > 20
        assert background(image) == colour
        assert composite(image, colour).tobytes() == whole.tobytes()
        assert decoder.rgba().tobytes() == hidden
        monkeypatch.undo()
