"""Data that an image file contains besides its picture, such as a video, layers or a diagram.

Two files with the same pixels are not the same when one of them contains such data.
"""

from PIL import Image

from embedkit.images import jpeg, png

MIN_BYTES = 1024
"""Minimum size of embedded data, bytes; less is usually a note of a program or camera."""

_APPLICATION_SEGMENTS = range(0xE0, 0xF0)
_USUAL_SEGMENTS = (
    b"JFIF\0", b"JFXX\0", b"Exif\0", b"http://ns.adobe.com/", b"ICC_PROFILE\0", b"MPF\0",
    b"Photoshop 3.0\0", b"Adobe", b"Ducky", b"AVI1", b"FPXR\0",
)  # fmt: skip
"""First bytes of JPEG segments with metadata of the picture."""
_USUAL_CHUNKS = (
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB",
    b"cICP", b"mDCV", b"cLLI", b"bKGD", b"hIST", b"pHYs", b"sPLT", b"eXIf", b"tIME", b"acTL",
    b"fcTL", b"fdAT",
)  # fmt: skip
_USUAL_KEYWORDS = (b"XML:com.adobe.xmp", b"Raw profile type ")
_LAYERS = 37724
"""TIFF tag of Photoshop's layers (ImageSourceData)."""


def has_embedded_data(image: Image.Image, data: bytes) -> bool:
    """Return whether the file of an opened image contains at least 1 kB besides the picture.

    This is data after the end of a JPEG or PNG other than filler, JPEG segments and PNG chunks that
    contain neither pixels nor usual metadata (EXIF, XMP, IPTC, ICC), and Photoshop layers of a
    TIFF. Further frames are not counted here.
    """
    if data.startswith(png.MAGIC):
        return _embedded_in_png(data) >= MIN_BYTES
    if data.startswith(jpeg.START):
        return image.format != "MPO" and _embedded_in_jpeg(data) >= MIN_BYTES
    if image.format == "TIFF":
        layers = getattr(image, "tag_v2", {}).get(_LAYERS)
        return isinstance(layers, bytes) and len(layers) >= MIN_BYTES
    return False


def _embedded_in_jpeg(data: bytes) -> int:
    """Return the number of bytes of a JPEG that are neither picture nor usual metadata."""
    count = 0
    for segment in jpeg.segments(data):
        if segment.kind == jpeg.LAST:
            return count + len(data[segment.end :].strip(b"\0\xff"))
        content = data[segment.content : segment.end]
        if segment.kind in _APPLICATION_SEGMENTS and not content.startswith(_USUAL_SEGMENTS):
            count += len(content)
    return count


def _embedded_in_png(data: bytes) -> int:
    """Return the number of bytes of a PNG that are neither picture nor usual metadata."""
    count, end = 0, len(png.MAGIC)
    for chunk in png.chunks(data):
        end = chunk.end
        content = data[chunk.start + 8 : chunk.end - 4]
        if chunk.kind not in _USUAL_CHUNKS and not content.startswith(_USUAL_KEYWORDS):
            count += len(png.text(chunk.kind, content, MIN_BYTES) or content)
        if chunk.kind == b"IEND":
            break
    return count + len(data[end:].strip(b"\0"))
