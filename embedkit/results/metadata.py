"""Metadata in the header of an image file."""

from dataclasses import dataclass

_LOSSLESS = ("PNG", "BMP", "DIB", "TIFF", "GIF")

LOW_FREQUENCIES = tuple(
    row * 8 + column for row in range(8) for column in range(8) if 0 < row + column <= 6
)
"""Indices, in natural order, of the 27 lowest frequencies of an 8 x 8 block, without the mean."""


@dataclass(frozen=True)
class FileMetadata:
    """Metadata of an image file.

    Attributes
    ----------
    format : str
        Pillow's name of the format.
    camera : str or None
        Make and model of the camera.
    taken : str or None
        Time by the camera's clock: ISO 8601 without a zone.
    software : str or None
        Program that wrote the file last.
    exposure : bool
        Whether the exposure time, aperture or sensitivity is recorded.
    place : bool
        Whether a GPS position is recorded.
    resized : bool
        Whether the size of the image differs from the size in its metadata.
    tables : tuple of tuple of int
        Quantisation tables of a JPEG, 64 numbers each in natural order; the first is for luma.
    colours : int or None
        Entries of the palette; None without one.
    frames : int
        Frames, pages or pictures in the file; only the first is used.
    deep : bool
        Whether a colour has more than 8 bits.
    embedded : bool
        Whether the file contains at least 1 kB of other data, such as a video or layers.
    """

    format: str
    camera: str | None = None
    taken: str | None = None
    software: str | None = None
    exposure: bool = False
    place: bool = False
    resized: bool = False
    tables: tuple[tuple[int, ...], ...] = ()
    colours: int | None = None
    frames: int = 1
    deep: bool = False
    embedded: bool = False

    @property
    def is_from_camera(self) -> bool:
        """Whether a camera wrote the metadata: its name, and the time or the exposure."""
        return self.camera is not None and (self.taken is not None or self.exposure)

    @property
    def provenance(self) -> int:
        """How much the metadata says about the photo's origin, 0 to 7."""
        return 4 * self.is_from_camera + 2 * self.place + ((self.camera or self.taken) is not None)

    @property
    def is_lossless(self) -> bool:
        """Whether the format stores pixels without loss."""
        return self.format in _LOSSLESS

    @property
    def step(self) -> float:
        """Mean quantisation step of a JPEG's 27 lowest luma frequencies; 0 without tables."""
        if not self.tables:
            return 0.0
        low = [self.tables[0][index] for index in LOW_FREQUENCIES]
        return sum(low) / len(low)
