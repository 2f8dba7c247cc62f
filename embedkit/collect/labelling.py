"""Decide the labels of a collection's photos from what was written beside them."""

from embedkit.collect.manifest import Manifest
from embedkit.collect.recipe import SourceRecipe
from embedkit.collect.rules import LabelRules

_BATCH = 20_000
_DIGEST = "rules"


def label_entries(manifest: Manifest, recipe: SourceRecipe) -> None:
    """Apply the rules of a recipe to the entries of a manifest. Nothing is requested.

    If the rules are those of the last time, only entries that are new or have changed are decided.
    Without rules, no entry has a label.
    """
    is_same = manifest.note(_DIGEST) == recipe.rules_digest
    after = 0
    while rows := manifest.entries.after(after, _BATCH, undecided=is_same):
        after = rows[-1][0]
        updates = []
        for number, *texts, label, outcome, candidates in rows:
            new = _decide(recipe.rules, texts)
            if (label, outcome, candidates) != new:
                updates.append((*new, number))
        manifest.entries.set_labels(updates)
    manifest.set_note(_DIGEST, recipe.rules_digest)


def _decide(rules: LabelRules | None, texts: list[str]) -> tuple[str | None, str, str]:
    """Return the label, the outcome and the candidates of an entry."""
    if rules is None:
        return None, "unmatched", ""
    names = ("caption", "tags", "page", "url")
    decision = rules.decide(dict(zip(names, texts, strict=True)))
    return decision.label, decision.outcome, "\n".join(decision.candidates)
