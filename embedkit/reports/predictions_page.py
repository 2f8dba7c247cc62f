"""Predictions as one HTML page: each photo with its classes and the nearest training photos."""

from pathlib import Path

from embedkit._internal.paths import shown
from embedkit.reports.page import Photos, label_hue, numbered_photos, write_page
from embedkit.results import Prediction, Predictions
from embedkit.results.wording import counted

THUMBNAIL = 360
"""Longest side of a thumbnail, pixels."""
NEIGHBOURS_SHOWN = 4
"""Number of nearest training photos shown for each photo."""


def write_predictions_page(target: Path, predictions: Predictions) -> None:
    """Write predictions as one HTML page, in the order of the photos.

    Each thumbnail is embedded once. A photo that cannot be read has a note in its place.

    Parameters
    ----------
    target : Path
        Path of the page.
    predictions : Predictions
        The result of :meth:`embedkit.Workspace.classify`.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    photos = numbered_photos(
        (
            path
            for item in predictions.predictions
            for path in (
                item.path,
                *(one.path for one in item.neighbours[:NEIGHBOURS_SHOWN]),
            )
            if path is not None
        ),
        THUMBNAIL,
    )
    unknown = sum(item.unknown for item in predictions.predictions)
    write_page(
        target,
        "predictions.html",
        title=f"{counted(len(predictions.predictions), 'photo')} classified by "
        f"{shown(predictions.head)}",
        unknown=unknown,
        photos=list(photos.values()),
        cards=[_card(item, photos) for item in predictions.predictions],
        failures=[f"{shown(item.path)}: {shown(item.reason)}" for item in predictions.failures],
    )


def _card(item: Prediction, photos: Photos) -> dict[str, object]:
    return {
        "photo": None if item.path is None else photos[item.path],
        "unknown_by": item.unknown_by if item.unknown else None,
        "ood_score": f"{item.ood_score:.2f}",
        "classes": [
            {
                "name": shown(one.label),
                "hue": label_hue(one.label),
                "probability": f"{one.probability:.3f}",
                "share": round(100 * one.probability, 1),
            }
            for one in item.top
        ],
        "neighbours": [
            {
                **photos[one.path],
                "label": shown(one.label),
                "distance": f"{one.distance:.3f}",
                "kind": "right" if one.label == item.top[0].label else "wrong",
            }
            for one in item.neighbours[:NEIGHBOURS_SHOWN]
            if one.path is not None
        ],
    }
