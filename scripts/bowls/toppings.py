"""Paint the content of a bowl: noodles, vegetables, pork, garlic and other toppings."""

from collections.abc import Callable
from functools import partial

import numpy as np

from bowls.scene import Scene, above, circle, polar, shaded, tone, unit
from bowls.stores import Serving
from bowls.vessel import BROTH, soup_height

SPROUT = ((216, 204, 158), (240, 234, 214), (250, 248, 240))
CABBAGE = ((236, 230, 184), (214, 220, 148), (168, 192, 96), (112, 156, 66))
MEAT = ((206, 160, 132), (182, 128, 98), (152, 98, 70), (120, 72, 48), (92, 52, 34))
FAT = np.array((238, 220, 190))


def paint_toppings(scene: Scene, serving: Serving) -> None:
    """Paint the content of a bowl of soup, back to front."""
    paint_noodles(scene, serving)
    toppings = _toppings(serving)
    places = np.array([place for _, place in toppings])
    for nearer in np.argsort(scene.camera.towards(places), kind="stable"):
        toppings[nearer][0](scene, serving, places[nearer])


def _toppings(serving: Serving) -> list[tuple[Callable[..., None], np.ndarray]]:
    """Return the toppings with their places (3,), which decide the order of painting."""
    z = soup_height(serving)
    pork = 2 * np.pi * (serving["pork place"] + 0.35)
    placed = [(paint_mound, above(z))]
    if serving["garlic"] > 0.08:
        beside = 2 * np.pi * (0.15 + 0.7 * serving["garlic place"]) + pork
        placed.append((paint_garlic, polar(0.62, beside, z + 0.12)))
    count = 1 + round(serving["pork"] * 4)
    for slot in range(count):
        aside = (slot - (count - 1) / 2) * 0.52
        slice_ = partial(paint_pork, random=serving.details(30 + slot))
        placed.append((slice_, polar(0.64, pork + aside, z + 0.16)))
    random = serving.details(4)
    free = pork + np.pi + random.normal(0, 0.3)
    for topping, painter, apart, radius in (
        ("nori", paint_nori, 0.2, 0.86),
        ("egg", paint_egg, -0.7, 0.62),
        ("naruto", paint_naruto, 0.9, 0.66),
        ("menma", paint_menma, -1.35, 0.62),
    ):
        if serving[topping]:
            angle = free + apart + random.normal(0, 0.12)
            placed.append((painter, polar(radius, angle, z + 0.1)))
    placed.append((paint_sprinkles, above(z + 2)))
    return placed


def paint_noodles(scene: Scene, serving: Serving) -> None:
    """Paint the visible noodles between the toppings and the edge."""
    random = serving.details(2)
    z = soup_height(serving)
    count = int(6 + 44 * serving["noodles"])
    width = 0.03 + 0.05 * serving["width"]
    along = np.linspace(0, 1, 10)
    start = np.repeat(random.uniform(0, 2 * np.pi, (count // 4 + 1, 1)), 4, 0)[:count]
    start = start + random.normal(0, 0.15, (count, 1))
    angle = start + random.normal(0, 0.9, (count, 1)) * along
    wave = 0.06 * np.sin(along * random.uniform(3, 8, (count, 1)) + start * 5)
    radius = random.uniform(0.35, 0.74, (count, 1)) + random.normal(0, 0.1, (count, 1)) * along
    height = z + 0.05 * np.sin(np.pi * along) * random.uniform(0, 1, (count, 1))
    paths = polar(np.clip(radius + wave, 0.2, 0.82), angle, height)
    noodle = 0.74 * np.array((236, 204, 130)) + 0.26 * tone(BROTH, serving["broth"])
    shades = noodle * random.uniform(0.84, 1.04, (count, 1))
    scene.rounded(paths, shades, np.full(count, width))


def _spread(serving: Serving) -> float:
    """Return the radius of the vegetables."""
    return 0.42 + 0.34 * serving["spread"]


def _mound_height(serving: Serving, share: np.ndarray) -> np.ndarray:
    """Return the height of the vegetables by distance from the middle (0) to their edge (1)."""
    return (0.12 + 0.75 * serving["height"]) * np.power(np.clip(1 - share**2, 0, 1), 0.8)


def _on_mound(serving: Serving, count: int, random: np.random.Generator) -> np.ndarray:
    """Return random places (count, 3) on the vegetables."""
    share = np.sqrt(random.uniform(0, 1, count))
    angle = random.uniform(0, 2 * np.pi, count)
    lobes = serving.details(21).uniform(0, 7, 2)
    uneven = 1 + 0.09 * np.sin(2 * angle + lobes[0]) + 0.07 * np.sin(3 * angle + lobes[1])
    height = _mound_height(serving, share) * uneven + soup_height(serving)
    return polar(_spread(serving) * share * uneven, angle, height)


def _out_of_mound(serving: Serving, places: np.ndarray) -> np.ndarray:
    """Return unit normals (N, 3) of the mound at places (N, 3)."""
    steep = (0.12 + 0.75 * serving["height"]) / _spread(serving) ** 2
    sideways = 1.6 * steep * places[:, :2]
    return unit(np.concatenate([sideways, np.ones((len(places), 1))], 1))


def paint_mound(scene: Scene, serving: Serving, _: np.ndarray) -> None:
    """Paint the vegetables from the back to the front: bean sprouts, cabbage, carrot."""
    random = serving.details(3)
    z, spread = soup_height(serving), _spread(serving)
    young = tone(SPROUT, 1 - 0.7 * serving["green"])
    for share in (1.0, 0.85, 0.65, 0.4, 0.2):
        height = float(_mound_height(serving, np.array(share))) * 0.9
        dim = np.array(0.42 + 0.2 * (1 - share))
        scene.face(circle(spread * share, z + height, 32), shaded(young, dim))

    sprouts = int(190 * (0.4 + spread + 0.5 * serving["height"]))
    cabbages = int((8 + 70 * serving["cabbage"]) * (0.5 + spread))
    carrots = int(16 * max(0.0, serving["carrot"] - 0.25))
    kinds = np.repeat([0, 1, 2, 3], [sprouts, cabbages, carrots, sprouts // 5])
    count = len(kinds)
    places = _on_mound(serving, count, random)
    normals = _out_of_mound(serving, places)
    sunk = random.uniform(0, 1, count)
    places += normals * (0.05 - 0.09 * sunk)[:, None]

    greens = np.clip(random.normal(serving["green"], 0.22, count), 0, 0.999)
    leaf = np.array([tone(CABBAGE, level) for level in np.linspace(0, 1, 16)])
    plain = np.array([young, (0, 0, 0), (232, 132, 50), (228, 200, 110)])[kinds]
    colours = np.where((kinds == 1)[:, None], leaf[(greens * 16).astype(int)], plain)
    soaked = np.clip(np.sin(7 * places[:, 0] + 3 * sunk + 9 * places[:, 1]), 0, 1)
    stain = serving["soy"] * soaked[:, None] * (0.2, 0.35, 0.55)
    colours = shaded(colours * (1 - stain), scene.lit(normals) * (1.08 - 0.42 * sunk))

    across = unit(np.cross(normals, unit(random.normal(size=(count, 3)))))[:, None]
    aside = np.cross(normals[:, None], across)
    length = np.where(kinds == 3, 0.02, random.uniform(0.08, 0.15, count))[:, None, None]
    along = np.linspace(-1, 1, 6)[:, None]
    bend = random.normal(0, 0.5, (count, 1, 1))
    curved = across * along + (aside * bend - normals[:, None] * 0.25) * along**2
    turn = np.linspace(0, 2 * np.pi, 6, endpoint=False)[:, None]
    ragged = random.uniform(0.65, 1.25, (count, 6, 1))
    rim = ragged * (across * np.cos(turn) + 0.75 * aside * np.sin(turn))
    order = np.argsort(scene.camera.towards(places), kind="stable")
    strand = np.isin(kinds, (0, 2))
    bodies = places[:, None] + length * np.where(strand[:, None, None], curved, rim)
    veins = np.where(strand[:, None, None], bodies, places[:, None] + 0.8 * length * curved)
    down = above(0.02)
    layers = np.stack([bodies - down, bodies, veins + above(0.01)], 1)
    shades = np.stack([shaded(colours, 0.5), colours, colours * 1.07 + 8], 1)
    width = np.where(strand, np.where(kinds == 2, 0.05, 0.036), 0)
    widths = np.stack([width * 1.35, width, np.full(count, 0.013)], 1)
    scene.marks(
        layers[order].reshape(-1, 6, 3), shades[order].reshape(-1, 3), widths[order].ravel()
    )


def paint_pork(
    scene: Scene, serving: Serving, place: np.ndarray, random: np.random.Generator
) -> None:
    """Paint a slice of pork that leans on the vegetables."""
    out = unit(place * (1, 1, 0))
    lean = random.uniform(0.3, 0.85)
    normal = out * np.sin(lean) + above(np.cos(lean))
    spin = random.normal(0, 0.35)
    level = np.array((-out[1], out[0], 0))
    right = level * np.cos(spin) + np.cross(normal, level) * np.sin(spin)
    ahead = np.cross(normal, right)
    size = 0.2 + 0.2 * serving["pork size"] * random.uniform(0.85, 1.1)
    roll, fatty = serving["pork shape"], serving["pork fat"]
    thick = 0.03 + 0.14 * serving["pork thickness"]
    theta = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    square = 2 + 1.8 * (1 - roll)
    radius = (np.abs(np.cos(theta)) ** square + np.abs(np.sin(theta)) ** square) ** (-1 / square)
    for wave in (2, 3, 5, 9):
        radius = radius * (1 + random.normal(0, 0.1 / wave) * np.sin(wave * theta + wave * spin))
    wide = 1.45 - 0.4 * roll
    flat = np.stack([np.cos(theta) * radius * wide, np.sin(theta) * radius], 1)
    centre = place + normal * thick + above(random.uniform(0.05, 0.1))

    def laid(points: np.ndarray, lift: float = 0.0) -> np.ndarray:
        """Return points (..., 2) of the slice, from -1 to 1, in space."""
        return centre + size * (points[..., :1] * right + points[..., 1:] * ahead) + normal * lift

    meat = shaded(tone(MEAT, serving["pork tone"]), scene.lit(normal, 0.66))
    meat = meat * random.uniform(0.93, 1.05)
    fat = (0.8 * shaded(FAT, scene.lit(normal, 0.7))) + 0.2 * meat
    for lift in np.linspace(-thick, -0.01, 4):
        scene.face(laid(flat, lift), shaded(meat, 0.5 + 0.12 * (lift > -thick)))
    scene.face(laid(flat), shaded(meat, 0.72))
    scene.face(laid(flat * 0.965), fat if fatty > 0.3 else meat * 0.88)
    scene.face(laid(flat * (0.94 - 0.22 * fatty) - (0, 0.16 * fatty * (1 - roll))), meat)

    count = int(40 + 14 * fatty)  # fibres, then streaks of fat
    along = np.linspace(-1, 1, 5)
    arc = random.uniform(0, 2 * np.pi, (count, 1)) + along * random.uniform(0.15, 0.6, (count, 1))
    ring = random.uniform(0.1, 0.68, (count, 1))
    rolled = np.stack([np.cos(arc) * wide, np.sin(arc)], -1) * ring[..., None]
    start = random.uniform(-0.62, 0.62, (count, 2, 1))
    reach = random.uniform(0.1, 0.4, (count, 1)) * (1 - 0.8 * np.abs(start[:, 0]))
    wavy = start[:, 1] * 0.9 + random.normal(0, 0.07, (count, 5)).cumsum(1) * 0.5
    layered = np.stack([start[:, 0] * wide + reach * along, np.clip(wavy, -0.62, 0.6)], -1)
    fibres = meat * random.uniform(0.8, 1.16, (40, 1))
    streaks = meat + (fat - meat) * random.uniform(0.5, 0.95, (count - 40, 1))
    widths = np.where(np.arange(count) < 40, 0.012, 0.012 + 0.03 * fatty * ring[:, 0])
    paths = laid(rolled if roll > 0.5 else layered, 0.003)
    scene.marks(paths, np.concatenate([fibres, streaks]), widths)
    shine = random.uniform(-0.4, 0.4, 2) + np.array([[-0.2, 0], [0.2, 0.06]])
    scene.strand(laid(shine, 0.005), meat + 60, 0.012)


def paint_garlic(scene: Scene, serving: Serving, place: np.ndarray) -> None:
    """Paint a heap of minced garlic."""
    random = serving.details(5)
    count = int(50 + 170 * serving["garlic"])
    heap = 0.07 + 0.09 * serving["garlic"]
    spots = random.normal(0, heap * 0.6, (count, 3)) * (1, 1, 0)
    spots[:, 2] = np.maximum(0, heap * 0.9 - np.linalg.norm(spots, axis=1) * 0.7)
    colours = np.array((238, 224, 176)) * random.uniform(0.8, 1.05, (count, 1))
    scene.crumbs(place + spots, random.uniform(0.01, 0.024, count), colours)


def paint_egg(scene: Scene, serving: Serving, place: np.ndarray) -> None:
    """Paint half a marinated egg."""
    random = serving.details(6)
    tip = random.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(tip), np.sin(tip), 0], [-np.sin(tip), np.cos(tip), 0], [0, 0, 1]])
    shape = circle(0.17, 0.0, 32) * (1.25, 1, 1) @ turn
    place = place + above(0.06)
    for lift, share, colour in (
        (-0.08, 0.85, (150, 104, 66)),
        (-0.04, 0.97, (188, 140, 96)),
        (0.0, 1.0, (214, 176, 132)),
        (0.002, 0.93, (246, 240, 226)),
        (0.004, 0.6, (224, 128, 30)),
        (0.006, 0.46, (244, 160, 44)),
    ):
        scene.face(place + shape * share + above(lift), colour)
    scene.face(place + shape * 0.12 + (0.03, 0.03, 0.01), (255, 214, 140))


def paint_nori(scene: Scene, serving: Serving, place: np.ndarray) -> None:
    """Paint sheets of seaweed that stand at the rim."""
    random = serving.details(7)
    out = unit(place * (1, 1, 0))
    aside = np.array((-out[1], out[0], 0))
    for sheet in range(1 + int(random.random() < 0.5)):
        across = aside * random.uniform(0.24, 0.3)
        up = above(0.42) + out * random.uniform(0.08, 0.22)
        foot = place + aside * 0.1 * sheet - out * 0.05 * sheet
        corners = foot + np.array([-across, across, across * 0.96 + up, -across * 1.02 + up])
        scene.face(corners, np.array((26, 38, 30)) * random.uniform(0.9, 1.3))
        for share in random.uniform(0, 1, 7):
            line = corners[[0, 3]] * (1 - share) + corners[[1, 2]] * share
            scene.strand(line, (40, 56, 44), 0.008)


def paint_naruto(scene: Scene, serving: Serving, place: np.ndarray) -> None:
    """Paint a slice of fish cake with its pink spiral."""
    random = serving.details(8)
    theta = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    edge = polar(0.13 * (1 + 0.06 * np.cos(12 * theta)), theta, 0.0)
    lean = np.array([[1, 0, 0.25], [0, 1, random.normal(0, 0.3)], [0, 0, 1]])
    place = place + above(0.1)
    scene.face(place + edge @ lean - above(0.03), (196, 184, 172))
    scene.face(place + edge @ lean, (248, 242, 236))
    turns = np.linspace(1.2, 11, 40)
    spiral = polar(0.0078 * turns, turns + random.uniform(0, 7), 0.004)
    scene.strand(place + spiral @ lean, (230, 96, 128), 0.022)


def paint_menma(scene: Scene, serving: Serving, place: np.ndarray) -> None:
    """Paint a few strips of bamboo shoot."""
    random = serving.details(9)
    direction = random.uniform(0, np.pi)
    for strip in range(5):
        angle = direction + random.normal(0, 0.25)
        half = polar(0.16, angle, random.normal(0, 0.02))
        middle = place + polar(0.07 * (strip - 2), direction + np.pi / 2, 0.04 + 0.01 * strip)
        colour = np.array((198, 150, 84)) * random.uniform(0.85, 1.08)
        path = np.array([middle - half, middle + above(0.02), middle + half])
        scene.rounded(path[None], colour[None], np.array([0.058]))


def paint_sprinkles(scene: Scene, serving: Serving, _: np.ndarray) -> None:
    """Paint sprinkled toppings: back fat, scallion, chilli."""
    random = serving.details(20)
    count = int(190 * max(0.0, serving["back fat"] - 0.12))
    places = _on_mound(serving, count, random) * (1.12, 1.12, 1) + above(0.05)
    sizes = np.minimum(random.gamma(2.0, 0.009, count), 0.045)
    colours = np.array((240, 224, 194)) * random.uniform(0.84, 1.03, (count, 1))
    scene.crumbs(places, sizes, colours)

    if serving["scallion"]:
        count = 40
        angle = random.normal(random.uniform(0, 7), 0.8, count)
        places = polar(random.normal(0.42, 0.16, count), angle, 0.0)
        share = np.linalg.norm(places[:, :2], axis=1) / _spread(serving)
        places[:, 2] = soup_height(serving) + _mound_height(serving, share) + 0.06
        lean = unit(random.normal(0, 1, (count, 3)) + above(1.2))
        one = unit(np.cross(lean, (0.3, 1.0, 0.1)))[:, None]
        other = np.cross(lean[:, None], one)
        turn = np.linspace(0, 2 * np.pi, 9)[:, None]
        radius = random.uniform(0.016, 0.034, (count, 1, 1))
        rings = places[:, None] + radius * (one * np.cos(turn) + other * np.sin(turn))
        greens = np.array((112, 160, 66)) * random.uniform(0.7, 1.2, (count, 1))
        pairs = np.stack([rings - above(0.012), rings], 1).reshape(-1, 9, 3)
        scene.marks(pairs, np.stack([greens * 0.5, greens], 1).reshape(-1, 3), 0.014)
    if serving["chilli"]:
        places = _on_mound(serving, 70, random) * (0.6, 0.6, 1) + above(0.06)
        reds = np.array((190, 50, 26)) * random.uniform(0.7, 1.15, (70, 1))
        scene.crumbs(places, random.uniform(0.005, 0.012, 70), reds)
