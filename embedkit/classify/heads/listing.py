"""A description of each head of a workspace, damaged ones included."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from embedkit.classify.heads.store import MANIFEST, load_head, names
from embedkit.errors import EmbedkitError
from embedkit.results import HeadInfo


def head_infos(folder: Path) -> tuple[HeadInfo, ...]:
    """Return a description of each head in a workspace's ``folder`` of heads, by name."""
    return tuple(_head_info(folder, name) for name in names(folder))


def _head_info(folder: Path, name: str) -> HeadInfo:
    saved = (folder / name / MANIFEST).stat().st_mtime
    info = HeadInfo(
        name=name,
        bytes=sum(file.stat().st_size for file in (folder / name).rglob("*") if file.is_file()),
        saved=datetime.fromtimestamp(saved, UTC).isoformat(timespec="seconds"),
    )
    try:
        head = load_head(folder, name)
    except EmbedkitError as error:
        return replace(info, problem=str(error))
    return replace(
        info,
        kind=head.kind,
        backbones=tuple(dict.fromkeys(model.backbone for model in head.models)),
        classes=head.classes_,
        accuracy=float(head.validation["accuracy"]),
    )
