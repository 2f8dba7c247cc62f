"""Time label rules on the stored captions of a collection.

    python scripts/bench_label_rules.py [--captions 100000] [--seed 0] [--rules FILE]

Makes captions with store names, toppings and tags from a seed, all of them different, and stores
them in a manifest. Decides each by the rules of the 40-store task, or those of another file: first
in this process, then as ``embedkit collect --labels-only`` does. Prints the seconds, and the number
of captions with each outcome.
"""

import argparse
import random
import tempfile
import time
import tomllib
from collections import Counter
from pathlib import Path

from embedkit.collect.labelling import label_entries
from embedkit.collect.manifest import Manifest
from embedkit.collect.recipe import read_source_recipe
from embedkit.collect.rules import LabelRules
from embedkit.collect.states import IMAGE

RULES = Path(__file__).parents[1] / "indexes" / "jiro" / "collect.toml"
FORMS = (
    "ラーメン二郎 {store}で小ラーメン、ヤサイニンニク！",
    "今日は　{store}　に到着。３０人待ち…",
    "#ラーメン二郎 #{store} #小豚 #ニンニクアブラ",
    "{store}から{second}へハシゴしました",
    "Ramen Jiro, {store} ♪ large with garlic and extra fat",
    "朝から並んで、やっと着丼。スープは微乳化、豚はホロホロ、麺は硬めで最高でした〜",
    "ﾗｰﾒﾝ二郎 {store} 次は{second}に行きたい",
)
TAGS = ("ラーメン", "ramenjiro", "二郎", "小豚", "ニンニク", "飯テロ", "foodporn")


def captions(count: int, stores: tuple[str, ...], seed: int) -> list[dict[str, str]]:
    chance = random.Random(seed)
    return [
        {
            "caption": chance.choice(FORMS).format(
                store=chance.choice(stores), second=chance.choice(stores)
            )
            + f" {number}杯目",
            "tags": "\n".join([*chance.sample(TAGS, 3), f"{number}日目"]),
        }
        for number in range(count)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--captions", type=int, default=100_000, help="number of captions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rules", type=Path, default=RULES, help="TOML file with [labels]")
    options = parser.parse_args()

    table = tomllib.loads(options.rules.read_text("utf-8"))["labels"]
    rules = LabelRules.from_table(table, str(options.rules))
    photos = captions(options.captions, rules.labels, options.seed)
    before, before_cpu = time.perf_counter(), time.process_time()
    outcomes = Counter(rules.decide(photo).outcome for photo in photos)
    seconds, cpu = time.perf_counter() - before, time.process_time() - before_cpu
    print(
        f"{len(photos):,} captions, {len(rules.labels)} labels: {seconds:.1f} s, {cpu:.1f} s of CPU"
    )
    with tempfile.TemporaryDirectory() as folder, Manifest(Path(folder)) as manifest:
        urls = [f"http://example.org/{number}.jpg" for number in range(len(photos))]
        manifest.addresses.see(urls, IMAGE)
        manifest.entries.add(
            (url, f"http://example.org/{number // 3}", photo)
            for number, (url, photo) in enumerate(zip(urls, photos, strict=True))
        )
        recipe = read_source_recipe(options.rules)
        before = time.perf_counter()
        label_entries(manifest, recipe)
        print(f"stored captions, with all cores: {time.perf_counter() - before:.1f} s")
    for outcome, count in outcomes.most_common():
        print(f"  {outcome:10} {count:8,}")


if __name__ == "__main__":
    main()
