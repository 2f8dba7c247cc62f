"""Decide the labels of a collection's photos from what was written beside them."""

from embedkit.collect.manifest import Manifest
from embedkit.collect.rules import LabelRules

_BATCH = 20_000


def label_entries(manifest: Manifest, rules: LabelRules | None, *, undecided: bool = False) -> int:
    """Apply rules to the entries of a manifest; return the number of entries that changed.

    Nothing is requested. Without rules, all labels are removed. With ``undecided``, only entries
    without an outcome are decided.
    """
    after = changed = 0
    while rows := manifest.entries.after(after, _BATCH, undecided=undecided):
        after = rows[-1][0]
        updates = []
        for number, caption, tags, page, url, *before in rows:
            new: tuple[str | None, str, str] = (None, "unmatched", "")
            if rules is not None:
                texts = {"caption": caption, "tags": tags, "page": page, "url": url}
                decision = rules.decide(texts)
                new = (decision.label, decision.outcome, "\n".join(decision.candidates))
            if tuple(before) != new:
                updates.append((*new, number))
        manifest.entries.set_labels(updates)
        changed += len(updates)
    return changed
