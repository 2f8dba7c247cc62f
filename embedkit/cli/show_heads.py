"""Output of the commands about heads."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from embedkit._internal.paths import shown
from embedkit._internal.text import size_text
from embedkit.classify.head import Head
from embedkit.cli.show import print_hint, print_line
from embedkit.cli.show_classify import overlap_table
from embedkit.cli.tables import NUMBER, TEXT, WORD, Column, print_table
from embedkit.results import ExportReport, HeadInfo
from embedkit.results.wording import counted


def heads_table(heads: Sequence[HeadInfo]) -> None:
    """Print the heads, and the problem of each damaged one."""
    if not heads:
        print_line("no heads")
        print_hint("'embedkit train' creates one")
        return
    columns = [
        Column("name", TEXT, key=True),
        Column("kind", WORD),
        Column("backbone", TEXT, priority=1),
        Column("classes", priority=1),
        Column("accuracy"),
        Column("size"),
        Column("saved", WORD, priority=1),
    ]
    rows = [
        [
            item.name,
            item.kind or "damaged",
            ", ".join(item.backbones),
            str(len(item.classes)) if item.classes else "",
            "" if item.accuracy is None else f"{item.accuracy:.4f}",
            size_text(item.bytes),
            f"{datetime.fromisoformat(item.saved).astimezone():%Y-%m-%d %H:%M}",
        ]
        for item in heads
    ]
    print_table(columns, rows)
    print_hint("accuracy on the validation set; 'embedkit evaluate HEAD' measures the test set")
    for item in heads:
        if item.problem is not None:
            print_line(f"damaged: {shown(item.name)}: {shown(item.problem)}")


def head_description(head: Head) -> None:
    """Print everything that the document of a head has."""
    document = head.to_dict()
    for name in ("name", "kind", "classes", "backbones"):
        _print_entries({name: document.pop(name)})
    _print_entries(document)


def _print_entries(entries: Mapping[str, Any], indent: str = "") -> None:
    """Print a JSON object: a line for each value, a table for objects of the same kind."""
    for key, value in entries.items():
        name = f"{indent}{shown(key)}:"
        if isinstance(value, Mapping) and value:
            print_line(name)
            _print_entries(value, f"{indent}  ")
        elif key == "error_overlap":
            print_line(name)
            overlap_table(entries["candidates"], value)
        elif isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
            print_line(name)
            _print_objects(value)
        else:
            print_line(f"{name} {_value_text(value)}")


def _print_objects(objects: Sequence[Mapping[str, Any]]) -> None:
    """Print a table of JSON objects, with the columns of text first, the shortest before others."""
    columns = {
        name: [item.get(name) for item in objects]
        for name in dict.fromkeys(name for item in objects for name in item)
    }
    names = sorted(columns, key=lambda name: (_is_number(columns[name]), len(str(columns[name]))))
    print_table(
        [
            Column(name, NUMBER if _is_number(columns[name]) else TEXT, key=number == 0, priority=1)
            for number, name in enumerate(names)
        ],
        [[_value_text(item.get(name)) for name in names] for item in objects],
    )


def _is_number(values: Sequence[Any]) -> bool:
    return all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in values)


def _value_text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple, dict)):
        return ", ".join(map(_value_text, value)) or "none"
    return shown(str(value))


def export_summary(report: ExportReport) -> None:
    """Print the sizes of an exported head, and the largest differences from the head."""
    print_line(
        f"{shown(report.path)}: {size_text(report.bytes)}, of which "
        f"{size_text(report.gallery_bytes)} are the embeddings of "
        f"{counted(report.gallery_photos, 'training photo')}"
    )
    print_line(
        f"largest difference from the head on {counted(report.compared, 'image')}: "
        f"{report.max_difference:.1e} of a probability, {report.max_ood_difference:.1e} of an "
        "OOD score"
    )
