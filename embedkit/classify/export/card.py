"""Model cards: what a head is, how it was evaluated, and where its limits are, as Markdown."""

import re
from collections.abc import Iterator, Sequence

from embedkit._internal.paths import shown
from embedkit.backbones.registry import parse_syntax
from embedkit.classify.evaluation.evaluation import worst_first
from embedkit.classify.heads.embedding_head import EmbeddingHead, Model
from embedkit.errors import BadInput
from embedkit.results import Thresholds
from embedkit.results.evaluation import MAIN_METRICS, Evaluation, HeadMetrics
from embedkit.results.wording import counted
from embedkit.version import __version__

_MARKS = re.compile(r"[\\`*{}\[\]<>#|]|(?<![^\W_])_|_(?![^\W_])")
"""Characters with a meaning in Markdown; an underscore inside a word has none."""
_FOLDERS = re.compile(r"(?<=[=/])/(?:[^/&]+/)*")
"""The folders in an absolute path of a backbone's name."""
_NAMES = {"accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F"}


def model_card(head: EmbeddingHead, evaluation: Evaluation) -> str:
    """Return the model card of a head: see :meth:`embedkit.Head.model_card`."""
    metrics = next((one for one in evaluation.heads if one.name == head.name), None)
    if metrics is None:
        names = ", ".join(shown(one.name) for one in evaluation.heads)
        raise BadInput(
            f"the evaluation is of {names}, not of {shown(head.name)}; evaluate it first"
        )
    if metrics.thresholds != head.rejection.thresholds or evaluation.classes != head.classes_:
        raise BadInput(
            f"{shown(head.name)} was trained again after the evaluation; evaluate it again"
        )
    return "\n".join(_lines(head, evaluation, metrics)) + "\n"


def _lines(head: EmbeddingHead, evaluation: Evaluation, metrics: HeadMetrics) -> Iterator[str]:
    name, classes = _cell(head.name), len(head.classes_)
    yield f"# {name}"
    yield ""
    yield (
        f"A classifier of photos into {classes} classes: {_KINDS[head.kind]}. It was made by "
        f"embedkit {__version__}."
    )
    yield ""
    yield "```python"
    yield "import embedkit"
    yield ""
    yield f'head = embedkit.load_head("{shown(head.name)}")  # or the path of its folder'
    yield 'head.predict(["photo.jpg"], unknown="unknown")'
    yield "```"
    yield ""
    yield "## Networks"
    yield ""
    yield from _table(
        ["backbone", "network", "input", "dim", "licence of the weights"],
        [_network(model) for model in {one.spec.digest: one for one in head.models}.values()],
    )
    yield ""
    yield "## Data"
    yield ""
    fitted = max(len(model.fitted_on) for model in head.models)
    validation = int(head.validation["images"])
    yield (
        f"Trained on {counted(fitted, 'photo')}; hyperparameters and calibration come "
        f"from {counted(validation, 'validation photo')}; the results below are on "
        f"{counted(evaluation.photos, 'test photo')} that neither of them used."
        + (f" The test photos form {evaluation.units} groups." if _grouped(evaluation) else "")
    )
    yield ""
    yield "## Results"
    yield ""
    rows = [
        [
            _NAMES[metric],
            f"{getattr(metrics, metric):.4f}",
            "{:.3f} to {:.3f}".format(*metrics.intervals[metric]),
        ]
        for metric in MAIN_METRICS
    ]
    rows += [[f"top {k}", f"{value:.4f}", ""] for k, value in metrics.top_k.items() if k > 1]
    rows += [["NLL (nats)", f"{metrics.nll:.3f}", ""], ["ECE", f"{metrics.ece:.3f}", ""]]
    yield from _table(["metric", "value", "95 % interval"], rows)
    yield ""
    yield "Precision, recall and F are means over the classes."
    yield ""
    yield "## Classes"
    yield ""
    yield from _table(
        ["class", "F", "recall", "precision", "test photos", "most often confused with"],
        [
            [
                _cell(item.name),
                *(_share(value) for value in (item.f1, item.recall, item.precision)),
                str(item.support),
                ""
                if item.confused_with is None
                else f"{_cell(item.confused_with)} ({item.confused})",
            ]
            for item in worst_first(metrics.classes)
        ],
    )
    yield ""
    yield "## Limits"
    yield ""
    yield from _limits(metrics, head.rejection.thresholds)


def _limits(metrics: HeadMetrics, thresholds: Thresholds) -> Iterator[str]:
    yield (
        "- The results hold for photos like the test photos: from the same sources, of the same "
        "classes in these proportions."
    )
    if metrics.unknown is not None:
        yield (
            f"- Photos of other classes should be rejected as unknown, but not all are. Of the "
            f"test photos, which all belong to a class, {100 * metrics.unknown:.1f} % are rejected."
        )
    if thresholds.probability is None and thresholds.distance is not None:
        yield (
            "- There were too few validation photos for a threshold of the probability, so an "
            "improbable class does not make a photo unknown."
        )
    few = sum(item.support < 20 for item in metrics.classes)
    if few:
        yield (
            f"- Classes with fewer than 20 test photos: {few} of {len(metrics.classes)}. Their own "
            "metrics are rough."
        )


_KINDS = {
    "probe": "a linear layer on the embeddings of a frozen network",
    "knn": "the votes of the nearest training photos",
    "finetune": "a fine-tuned network with a linear layer",
    "ensemble": "the mean of the probabilities of several heads",
}


def _network(model: Model) -> list[str]:
    name = parse_syntax(model.backbone)
    known = name.known if name.weights is None else None
    return [
        _cell(_FOLDERS.sub("", model.backbone)),
        _cell(model.spec.architecture),
        f"{model.spec.size} px",
        str(model.spec.dim),
        "not known to embedkit" if known is None else known.licence,
    ]


def _grouped(evaluation: Evaluation) -> bool:
    return evaluation.units < evaluation.photos


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _cell(text: str) -> str:
    """Return a text for a cell of a table or a heading in Markdown, with its marks escaped."""
    return _MARKS.sub(r"\\\g<0>", shown(text))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for cells in (columns, ["---"] * len(columns), *rows):
        yield f"| {' | '.join(cells)} |"
