"""Forty imaginary ramen stores with their habits, and servings to customers.

The stores have names of real places; nothing else about them is real. The five stores of a family
share most habits. In the others every member has its own level, but no single habit separates two
stores reliably: servings vary around the habits, and customers order more or less of a topping. The
first families have a sixth member, which is not one of the forty: an unseen store.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

STORES = (
    *("三田本店", "目黒店", "仙川店", "歌舞伎町店", "品川店"),
    *("新宿小滝橋通り店", "環七新代田店", "野猿街道店", "池袋東口店", "亀戸店"),
    *("京急川崎店", "府中店", "松戸駅前店", "めじろ台店", "荻窪店"),
    *("上野毛店", "京成大久保店", "環七一之江店", "相模大野店", "横浜関内店"),
    *("神田神保町店", "小岩店", "ひばりヶ丘駅前店", "栃木街道店", "立川店"),
    *("大宮店", "千住大橋駅前店", "茨城守谷店", "湘南藤沢店", "西台駅前店"),
    *("中山駅前店", "仙台店", "札幌店", "会津若松駅前店", "新潟店"),
    *("川越店", "越谷店", "前橋千代田町店", "一橋学園店", "桜台駅前店"),
)
UNSEEN = ("高田馬場店", "生田駅前店", "京都店", "赤羽店", "八王子店")
"""Unseen stores: the sixth members of the first families."""
MEMBERS = 5

TOPPINGS = ("egg", "nori", "naruto", "scallion", "menma", "chilli")
HABITS = {
    **{"broth": 0.09, "cloudy": 0.09, "droplets": 0.12, "fill": 0.1},
    **{"vessel": 0.0, "rim": 0.0, "pattern": 0.0, "flare": 0.02, "counter": 0.0},
    **{"height": 0.1, "spread": 0.09, "cabbage": 0.1, "green": 0.1, "carrot": 0.1, "soy": 0.12},
    **{"pork": 0.1, "pork size": 0.08, "pork thickness": 0.1, "pork shape": 0.08},
    **{"pork fat": 0.1, "pork tone": 0.09, "pork place": 0.05},
    **{"garlic": 0.12, "garlic place": 0.05, "back fat": 0.12, "noodles": 0.12, "width": 0.06},
    **dict.fromkeys(TOPPINGS, 0.0),
}
"""Habits, each a level from 0 to 1, and the standard deviation of servings from it. The level of a
topping is how likely a bowl has it at all."""
CALLS = (
    *(("height", 0.2, 0.3), ("height", 0.1, -0.3), ("garlic", 0.15, 0.4), ("garlic", 0.25, -2.0)),
    *(("back fat", 0.15, 0.4), ("soy", 0.15, 0.4), ("pork", 0.15, 0.5)),
)
"""Orders of guests: the habit, the share of guests, and the change of the level."""
DIFFERING = 12
"""Number of habits in which the stores of a family differ."""
RANGE = 0.8
"""Share of a habit's range that the members of a family cover."""


@dataclass(frozen=True)
class Serving:
    """A serving: levels from 0 to 1 by habit, and the seed of all details."""

    store: str
    levels: dict[str, float]
    seed: tuple[int, ...]

    def __getitem__(self, habit: str) -> float:
        return self.levels[habit]

    def details(self, part: int) -> np.random.Generator:
        """Return the generator for one part of the bowl, the same in every shot."""
        return np.random.default_rng([*self.seed, part])


@lru_cache(maxsize=64)
def habits(store: str, seed: int) -> dict[str, float]:
    """Return the levels of a store's habits, those of toppings as probabilities."""
    if store in UNSEEN:
        family, member = UNSEEN.index(store), MEMBERS
    else:
        family, member = divmod(STORES.index(store), MEMBERS)
    random = np.random.default_rng([seed, 1, family])
    levels = dict(zip(HABITS, random.uniform(0.1, 0.9, len(HABITS)).tolist(), strict=True))
    for habit in random.choice(list(HABITS), DIFFERING, replace=False).tolist():
        rank = random.permutation(MEMBERS + 1)[member] / MEMBERS
        low = random.uniform(0, 1 - RANGE)
        levels[habit] = low + RANGE * rank
    return levels


def serve(store: str, seed: int, number: int) -> Serving:
    """Return the serving to customer ``number``: habits of the store, chance and orders."""
    code = (STORES + UNSEEN).index(store)
    random = np.random.default_rng([seed, 2, code, number])
    usual = habits(store, seed)
    strayed = random.normal(0, list(HABITS.values()))
    levels = {habit: usual[habit] + stray for habit, stray in zip(HABITS, strayed, strict=True)}
    for topping in TOPPINGS:
        levels[topping] = float(random.random() < 0.05 + 0.85 * usual[topping])
    for habit, chance, more in CALLS:
        if random.random() < chance:
            levels[habit] += more
            if habit == "height":
                levels["spread"] += more / 3
    levels = {habit: float(np.clip(level, 0, 1)) for habit, level in levels.items()}
    return Serving(store, levels, (seed, 3, code, number))
