"""Decide the labels of a collection's photos from what was written beside them."""

from collections.abc import Sequence
from typing import Any

from embedkit._internal.cores import usable_cores
from embedkit.collect.manifest import Manifest
from embedkit.collect.recipe import SourceRecipe
from embedkit.collect.rules import LabelRules

_BATCH = 100_000
"""Entries that are read at a time."""
_FEW = 20_000
"""Entries that are decided in this process: starting others would take longer."""
_DIGEST = "rules"

_Outcome = tuple[str | None, str, str]
"""Label, outcome and candidates of an entry."""


def label_entries(manifest: Manifest, recipe: SourceRecipe) -> None:
    """Apply the rules of a recipe to the entries of a manifest. Nothing is requested.

    If the rules are those of the last time, only entries that are new or have changed are decided.
    Without rules, no entry has a label.
    """
    is_same = manifest.note(_DIGEST) == recipe.rules_digest
    after = 0
    while rows := manifest.entries.after(after, _BATCH, undecided=is_same):
        after = rows[-1][0]
        outcomes = _decide(recipe.rules, [row[1:5] for row in rows])
        manifest.entries.set_labels(
            [
                (*outcome, row[0])
                for row, outcome in zip(rows, outcomes, strict=True)
                if row[5:] != outcome
            ]
        )
    manifest.set_note(_DIGEST, recipe.rules_digest)


def _decide(rules: LabelRules | None, texts: Sequence[tuple[str, ...]]) -> list[_Outcome]:
    """Return the outcomes of entries, from their caption, tags, page and address."""
    if rules is None:
        return [(None, "unmatched", "")] * len(texts)
    if len(texts) <= _FEW:
        return _decide_part(rules, texts)
    from joblib import Parallel, delayed

    size = -(-len(texts) // (2 * usable_cores()))
    parts = [texts[first : first + size] for first in range(0, len(texts), size)]
    found = Parallel(n_jobs=usable_cores())(delayed(_decide_part)(rules, part) for part in parts)
    return [outcome for part in found for outcome in part]


def _decide_part(rules: LabelRules, texts: Sequence[tuple[Any, ...]]) -> list[_Outcome]:
    outcomes: list[_Outcome] = []
    for caption, tags, page, url in texts:
        decision = rules.decide({"caption": caption, "tags": tags, "page": page, "url": url})
        outcomes.append((decision.label, decision.outcome, "\n".join(decision.candidates)))
    return outcomes
