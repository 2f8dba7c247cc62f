"""Numbers of EXIF tags."""

EXIF_IFD, GPS_IFD = 0x8769, 0x8825
"""Tags of the directories of the camera's settings and of the GPS position."""

MAKE, MODEL, ORIENTATION, SOFTWARE = 0x010F, 0x0110, 0x0112, 0x0131
"""Tags of the main directory."""

TAKEN, EXPOSURE, F_NUMBER, ISO = 0x9003, 0x829A, 0x829D, 0x8827
WIDTH, HEIGHT = 0xA002, 0xA003
"""Tags of the directory at :data:`EXIF_IFD`."""
