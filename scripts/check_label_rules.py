"""Measure label rules on captions with known labels.

    python scripts/check_label_rules.py [--rules FILE] [--captions FILE] [--show]

Decides the captions and tags of a table by the rules of the 40-store task, or those of another
recipe, and prints precision (the share of the given labels that are right) and recall (the share of
the captions with a label that get it), and the mistakes by kind; ``--show`` lists them. The table
has the columns caption, tags (one a line), label (empty if the text does not tell) and trap (the
kind of difficulty). Its 2,000 rows were written by somebody who had not seen the rules.
"""

import argparse
import csv
from collections import Counter
from pathlib import Path

from embedkit.collect.recipe import read_source_recipe

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rules", type=Path, default=ROOT / "indexes/jiro/collect.toml")
    parser.add_argument("--captions", type=Path, default=ROOT / "scripts/captions/jiro.csv")
    parser.add_argument("--show", action="store_true", help="list all mistakes")
    options = parser.parse_args()
    rules = read_source_recipe(options.rules).rules
    assert rules is not None
    with options.captions.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    counts: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for row in rows:
        given = rules.decide({"caption": row["caption"], "tags": row["tags"]}).label or ""
        counts["given"] += bool(given)
        counts["true"] += bool(row["label"])
        counts["right"] += bool(given) and given == row["label"]
        if given == row["label"]:
            continue
        (wrong if given else missed)[row["trap"] or "no trap"] += 1
        if options.show:
            print(f"{given or 'none'} instead of {row['label'] or 'none'}: {row['caption']!r}")
    print(
        f"{len(rows)} captions: precision {counts['right'] / counts['given']:.4f}, recall "
        f"{counts['right'] / counts['true']:.4f}"
    )
    print("wrong labels:", dict(wrong.most_common()))
    print("missed labels:", dict(missed.most_common()))


if __name__ == "__main__":
    main()
