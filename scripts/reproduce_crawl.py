"""The forty-store task of Doi (2018) from the crawl to the report, on a site on loopback.

    python scripts/reproduce_crawl.py FOLDER [--each 60] [--classes 40] [--verdicts 40]

Doi crawled photos of ramen with their comments and tags, decided from these which of 40 stores each
shows, cleaned them, and averaged three networks. Here bowls of imaginary stores are drawn
(make_bowls.py) below FOLDER/site, EACH per store, with copies, photos under the wrong store and
photos without a bowl. A site on loopback shows them in posts with Japanese captions: some name the
store in full or in short, in the caption or as a tag, some name another store as well or none. Then
the steps of Doi: collect, clean, review (a person is simulated who knows truth.csv), split, train
(a probe for each of three networks), ensemble, evaluate.

Prints the photos, the faults among them and the labels after each step, and the test accuracy.
Existing photos are reused, so an interrupted run continues.
"""

import argparse
import csv
import html
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from make_bowls import make

from embedkit import Collection, Workspace
from embedkit.results import CERTAIN

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the site is that of the tests
from sites import Host, hosts

NETWORKS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
VAL, TEST = 6, 8
"""Photos per store."""
ROUNDS = 2
PER_PAGE = 50
CAPTIONS = (
    ("ラーメン二郎 {store}で小ラーメン。ニンニク少なめ、うまい", ""),
    ("今日の昼は{short}の二郎。並んだ甲斐があった", ""),
    ("#ラーメン二郎{store} 大豚 全マシ", ""),
    ("久しぶりの二郎。豚が柔らかかった", "ラーメン二郎{store}"),
    ("二郎 {short} 小ぶたラーメン", "二郎"),
)
NO_STORE, TWO_STORES = "ニンニク入れますか？ はい、お願いします", "{store}のほうが{other}より好み"
"""Captions that name no store (5 % of the photos) and two stores (3 %)."""


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print the name of a step, and its duration."""
    print(f"\n== {what}", flush=True)
    started = time.monotonic()
    yield
    print(f"   {time.monotonic() - started:.0f} s", flush=True)


def short(store: str) -> str:
    """Return what people call a store."""
    return store.removesuffix("店").removesuffix("駅前")


def publish(folder: Path, pages: Host, images: Host) -> Counter[str]:
    """Serve the photos in posts; return how many captions are of each kind."""
    with (folder / "posts.csv").open(encoding="utf-8", newline="") as file:
        posts = {row["path"]: row["post"] for row in csv.DictReader(file)}
    paths = sorted(path for path in posts if path.startswith("photos/"))
    stores = sorted({path.split("/")[1] for path in paths})
    chance = random.Random(1)
    chance.shuffle(paths)
    kinds: Counter[str] = Counter()
    articles = []
    for path in paths:
        store = path.split("/")[1]
        kind = chance.choices(("one store", "no store", "two stores"), (92, 5, 3))[0]
        caption, tag = chance.choice(CAPTIONS)
        if kind != "one store":
            caption, tag = (NO_STORE, "") if kind == "no store" else (TWO_STORES, "")
        kinds[kind] += 1
        other = chance.choice([name for name in stores if name != store])
        words = {"store": store, "short": short(store), "other": other}
        address = f"/{quote(path)}"
        images.image(address, (folder / path).read_bytes())
        articles.append(
            f'<article class="post" data-id="{html.escape(posts[path])}">'
            f'<img src="{images.url(address)}"><p>{html.escape(caption.format(**words))}</p>'
            f'<a class="tag">{html.escape(tag.format(**words))}</a></article>'
        )
    for first in range(0, len(articles), PER_PAGE):
        link = f'<a rel="next" href="/{first + PER_PAGE}">次へ</a>'
        more = link * (first + PER_PAGE < len(articles))
        pages.page(f"/{first}", "".join(articles[first : first + PER_PAGE]) + more)
    return kinds


def write_recipe(path: Path, pages: Host, images: Host, stores: list[str]) -> None:
    """Write a recipe whose rules know the stores by their full and short names."""
    rules = "".join(
        f'[[labels.rules]]\nlabel = "{store}"\nkeywords = ["{store}", "{short(store)}"]\n'
        for store in stores
    )
    path.write_text(
        f"""contact = "me@example.org"
start = ["{pages.url("/0")}"]
hosts = ["{pages.name}", "{images.name}"]
[pages]
item = "article.post"
image = "img::attr(src)"
caption = "p"
tags = "a.tag"
post = "::attr(data-id)"
next = "a[rel=next]::attr(href)"
[limits]
delay = 0  # this machine's own site
[labels]
{rules}""",
        "utf-8",
    )


def labels_of(collection: Collection, table: Path) -> dict[str, str]:
    """Return the labels of the images of a collection, by digest."""
    collection.write_csv(table)
    found: dict[str, set[str]] = {}
    with table.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["sha256"], set()).update({row["label"]} - {""})
    return {digest: labels.pop() for digest, labels in found.items() if len(labels) == 1}


def describe(images: Path, truth: Mapping[str, dict[str, str]], labels: Mapping[str, str]) -> None:
    """Print the photos that are left and the faults among them."""
    left = {path.stem: truth[path.stem] for path in images.glob("*/*.jpg")}
    originals = {row["path"] for row in left.values()}
    copies = sum(row["kind"] == "copy" and row["copy_of"] in originals for row in left.values())
    wrong = sum(
        bool(row["class"]) and labels.get(digest, row["class"]) != row["class"]
        for digest, row in left.items()
    )
    print(
        f"   {len(left)} photos, {len(left.keys() & labels.keys())} with a label: {copies} copies "
        f"beside their original, {wrong} under a wrong store, "
        f"{sum(not row['class'] for row in left.values())} without a bowl"
    )


def review(
    workspace: Workspace,
    truth: Mapping[str, dict[str, str]],
    labels: dict[str, str],
    verdicts: int,
) -> None:
    """Decide about the first photos of each list, as the truth says, and note new labels."""
    for what in ("off-topic", "labels"):
        given: Counter[str] = Counter()
        for _ in range(ROUNDS):
            for item in workspace.review(what).items[:verdicts]:
                store = truth[Path(item.path).stem]["class"]
                if not store:
                    verdict = "off-topic"
                elif what == "off-topic":
                    verdict = "keep"
                elif store == item.label and item.score < CERTAIN:
                    verdict = "right"
                else:
                    verdict = f"relabel={store}"
                    labels[Path(item.path).stem] = store
                workspace.verdicts.set(verdict, item.path)
                given[verdict.partition("=")[0]] += 1
        print(f"   {what}: {dict(given)}")
    workspace.clean(kinds=["off-topic", "poor"]).apply()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, default=60)
    parser.add_argument("--classes", type=int, default=40)
    parser.add_argument("--verdicts", type=int, default=40, help="largest number per review")
    options = parser.parse_args()
    folder, site = options.folder.absolute(), options.folder.absolute() / "site"
    if not (site / "truth.csv").is_file():
        with timed("drawing bowls"):
            print(f"   {Counter(p.kind for p in make(site, options.classes, options.each, 0))}")
    with (site / "truth.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["path"].startswith("photos/")]
    # Copies of the same bytes are one image; the row of its original describes it.
    truth = {
        sha256((site / row["path"]).read_bytes()).hexdigest(): row
        for row in sorted(rows, key=lambda row: row["kind"] == "copy", reverse=True)
    }
    with hosts(2) as (pages, images), timed("collecting"):
        kinds = publish(site, pages, images)
        stores = sorted({row["path"].split("/")[1] for row in rows})
        write_recipe(folder / "collect.toml", pages, images, stores)
        collection = Collection(folder / "collect.toml")
        report = collection.fetch()
        labels = labels_of(collection, folder / "entries.csv")
        print(f"   captions: {dict(kinds)}")
        print(
            f"   {report.images} images from {report.pages} pages; {sum(report.labels.values())} "
            f"entries with one label, {report.unmatched} with none, {report.ambiguous} with several"
        )
    workspace = Workspace(folder / "workspace")
    with timed("adding"):
        workspace.add(report.folder, backbones=NETWORKS)
        describe(collection.folder / "images", truth, labels)
    with timed("cleaning: copies, and copies under two stores"):
        workspace.clean(conflicts="drop-all").apply()
        describe(collection.folder / "images", truth, labels)
    with timed("reviewing"):
        review(workspace, truth, labels, options.verdicts)
        describe(collection.folder / "images", truth, labels)
    with timed("splitting by post"):
        split = workspace.split(VAL, TEST, group="post")
        print(
            f"   {split.images} images; drawn one by one {split.leaks_ungrouped} of those held out "
            f"would have a copy or another shot in training, now {split.leaks}"
        )
    with timed("training probes, and their ensemble"):
        names = [network.removeprefix("efficientnet_") for network in NETWORKS]
        for name, network in zip(names, NETWORKS, strict=True):
            workspace.heads.train("probe", name, backbone=network)
        workspace.heads.ensemble("ensemble", names)
    with timed("evaluating on the test set"):
        for head in workspace.heads.evaluate([*names, "ensemble"]).heads:
            low, high = head.intervals["accuracy"]
            print(f"   {head.name:<10} accuracy {head.accuracy:.4f} ({low:.4f} to {high:.4f})")


if __name__ == "__main__":
    main()
