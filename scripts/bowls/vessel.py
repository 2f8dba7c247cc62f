"""Paint the vessel and the soup in it."""

import numpy as np

from bowls.scene import Scene, circle, polar, tone, unit
from bowls.stores import Serving

BROTH = ((226, 192, 138), (196, 148, 90), (164, 108, 58), (126, 74, 36), (88, 46, 22), (58, 30, 16))
VESSEL = (
    (236, 232, 222),
    (150, 30, 28),
    (34, 34, 38),
    (206, 190, 150),
    (60, 84, 128),
    (214, 172, 60),
    (120, 150, 132),
    (196, 206, 214),
)
RIM = (
    (40, 62, 128),
    (170, 34, 30),
    (30, 30, 32),
    (226, 180, 54),
    (58, 110, 84),
    (232, 228, 218),
    (120, 66, 36),
)


def _profile(serving: Serving, share: np.ndarray | float) -> np.ndarray | float:
    """Return the outer radius of the vessel from its foot (0) to its rim (1)."""
    return 0.42 + 0.58 * np.power(share, 0.35 + 0.5 * serving["flare"])


def depth(serving: Serving) -> float:
    """Return the height of the rim above the table."""
    return 0.95 - 0.35 * serving["flare"]


def soup_height(serving: Serving) -> float:
    """Return the depth of the soup below the rim."""
    return -0.2 + 0.16 * serving["fill"]


def paint_vessel(scene: Scene, serving: Serving) -> None:
    """Paint the vessel, its pattern, and the soup in it."""
    clay = np.array(VESSEL[int(serving["vessel"] * 0.999 * len(VESSEL))])
    rim = np.array(RIM[int(serving["rim"] * 0.999 * len(RIM))])
    pattern = int(serving["pattern"] * 5.999)
    tall = depth(serving)
    shares = np.array([0, 0.12, 0.3, 0.5, 0.68, 0.8, 0.9, 0.96, 1.0])
    bands = np.tile(clay * 0.92, (8, 48, 1))
    if pattern in (1, 2, 4):
        bands[6] = rim
    if pattern in (2, 5):
        bands[4] = rim
    if pattern in (3, 4):
        bands[5, ::2] = rim
    _paint_wall(scene, _profile(serving, shares), (shares - 1) * tall, bands, 1)

    z = soup_height(serving)
    scene.face(circle(1.0, 0.0), rim * 1.02 if pattern % 2 else clay * 1.06)
    scene.face(circle(0.955, -0.012), clay)
    inner = np.array([0.955, 0.94, 0.915, 0.885])
    bands = np.tile(clay * 0.98, (3, 48, 1))
    if pattern in (0, 2, 3):
        bands[0] = rim
    if pattern in (3, 5):
        bands[1, ::3] = rim
    _paint_wall(scene, inner, np.array([-0.012, z * 0.3, z * 0.6, z]), bands, -1)
    _paint_soup(scene, serving)


def _paint_wall(
    scene: Scene, radii: np.ndarray, heights: np.ndarray, bands: np.ndarray, side: int
) -> None:
    """Paint a wall of revolution: radii and heights (n + 1,), colours (n, 48, 3), seen from
    outside (side 1) or inside (-1)."""
    angles = np.linspace(0, 2 * np.pi, bands.shape[1] + 1)
    points = polar(radii[:, None], angles, heights[:, None])
    quads = np.stack([points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]], 2)
    normals = unit(np.cross(quads[:, :, 1] - quads[:, :, 0], quads[:, :, 3] - quads[:, :, 0]))
    shine = np.clip(normals * side @ scene.lamp, 0, 1) ** 12
    colours = bands * scene.lit(side * normals, 0.5)[..., None] + 70 * shine[..., None]
    quads, colours = quads.reshape(-1, 4, 3), colours.reshape(-1, 3)
    shown = scene.visible(quads)
    scene.marks(quads[shown], colours[shown])


def _paint_soup(scene: Scene, serving: Serving) -> None:
    """Paint the soup, fat that swirls in it, and drops of oil on it."""
    z, cloudy = soup_height(serving), serving["cloudy"]
    broth = tone(BROTH, serving["broth"])
    random = serving.details(1)
    scene.face(circle(0.89, z), broth * (0.78 + 0.14 * cloudy))
    scene.face(circle(0.87, z), broth)

    count = 60
    along = np.linspace(0, 1, 8)
    angle = random.uniform(0, 2 * np.pi, (count, 1)) + random.uniform(0.1, 0.8, (count, 1)) * along
    radius = random.uniform(0.45, 0.84, (count, 1)) + random.normal(0, 0.05, (count, 1)) * along
    lighter = 1 + random.uniform(-0.1, 0.12, (count, 1)) * (0.35 + 0.65 * cloudy)
    swirls = polar(np.minimum(radius, 0.85), angle, z)
    scene.marks(swirls, broth * lighter, random.uniform(0.01, 0.07, count))

    count = int(20 + 150 * serving["droplets"])
    sizes = random.gamma(2.0, 0.006 + 0.01 * serving["droplets"], count)[:, None, None]
    places = polar(np.sqrt(random.uniform(0.2, 0.72, count)), random.uniform(0, 7, count), z)
    drops = sizes * circle(1.0, 0.0, 12)
    middles = places[:, None]
    glints = middles + sizes * 0.4 * (scene.lamp * (1, 1, 0))
    rings = np.stack([middles + drops, middles + 0.82 * drops, glints + 0.22 * drops], 1)
    oil = broth * 1.1 + np.array((20, 16, 2))
    colours = np.stack([broth * 0.85, oil, oil + 60])
    scene.marks(rings.reshape(-1, 12, 3), np.tile(colours, (count, 1)))
