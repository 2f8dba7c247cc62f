"""Measure label rules on captions with known labels.

    python scripts/check_label_rules.py [TABLE ...] [--rules FILE] [--show]

Decides the captions and tags of tables by the rules of the 40-store task, or those of another
recipe, and prints precision (the share of the given labels that are right) and recall (the share of
the captions with a label that get it), and the mistakes by kind; ``--show`` lists them. A table has
the columns caption, tags (one a line), label (empty if the text does not tell) and trap (the kind
of difficulty). Without TABLE, those in scripts/captions are read. Each was written by somebody who
had not seen the rules; the rules were improved by the mistakes in all but the last one.
"""

import argparse
import csv
from collections import Counter
from pathlib import Path

from embedkit.collect.recipe import read_source_recipe
from embedkit.collect.rules import LabelRules

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", type=Path, nargs="*", metavar="TABLE")
    parser.add_argument("--rules", type=Path, default=ROOT / "indexes/jiro/collect.toml")
    parser.add_argument("--show", action="store_true", help="list all mistakes")
    options = parser.parse_args()
    rules = read_source_recipe(options.rules).rules
    assert rules is not None
    for table in options.tables or sorted((ROOT / "scripts/captions").glob("*.csv")):
        check(rules, table, options.show)


def check(rules: LabelRules, table: Path, show: bool) -> None:
    """Print how many captions of a table get the right label."""
    with table.open(encoding="utf-8-sig", newline="") as file:
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
        if show:
            print(f"{given or 'none'} instead of {row['label'] or 'none'}: {row['caption']!r}")
    print(
        f"{table.name}, {len(rows)} captions: precision {counts['right'] / counts['given']:.4f}, "
        f"recall {counts['right'] / counts['true']:.4f}"
    )
    print("wrong labels:", dict(wrong.most_common()))
    print("missed labels:", dict(missed.most_common()))


if __name__ == "__main__":
    main()
