"""What an image's file says of where it comes from."""

from dataclasses import dataclass

_LOSSLESS = ("PNG", "BMP", "DIB", "TIFF", "GIF")

LOW_FREQUENCIES = tuple(
    row * 8 + column for row in range(8) for column in range(8) if 0 < row + column <= 6
)
"""Places, in natural order, of the lowest frequencies of an 8 x 8 block, without the mean."""


@dataclass(frozen=True)
class FileMetadata:
    """What the header of a file says of its image."""

    format: str
    """Pillow's name of the format."""
    camera: str | None = None
    """Maker and model of the camera; None when the file names neither."""
    taken: str | None = None
    """When the photo was taken, by the camera's clock: ISO 8601 without a zone."""
    software: str | None = None
    """The program that wrote the file last, if it left its name."""
    exposure: bool = False
    """Whether exposure, aperture or sensitivity are noted."""
    place: bool = False
    """Whether the place is noted (GPS)."""
    resized: bool = False
    """Whether the image has another size than the metadata say it was taken at."""
    tables: tuple[tuple[int, ...], ...] = ()
    """Quantisation tables of a JPEG, 64 numbers each in natural order; the first is luma's."""
    colours: int | None = None
    """Entries of the palette; None for an image without one."""
    frames: int = 1
    """Frames, pages or pictures that the file has; only the first is looked at."""
    deep: bool = False
    """Whether it has more than 8 bits a colour."""

    @property
    def is_from_camera(self) -> bool:
        """Whether the metadata are those that a camera leaves."""
        return self.camera is not None and (self.taken is not None or self.exposure)

    @property
    def provenance(self) -> int:
        """How much the metadata say of where the photo comes from: the more, the larger."""
        return 4 * self.is_from_camera + 2 * self.place + ((self.camera or self.taken) is not None)

    @property
    def is_lossless(self) -> bool:
        """Whether the format keeps pixels as they were given to it."""
        return self.format in _LOSSLESS

    @property
    def step(self) -> float:
        """How coarse a JPEG's quantisation is: mean step of the 27 lowest luma frequencies."""
        if not self.tables:
            return 0.0
        low = [self.tables[0][place] for place in LOW_FREQUENCIES]
        return sum(low) / len(low)
