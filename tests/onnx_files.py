"""Small ONNX files, written without the onnx package."""

from pathlib import Path

import numpy as np


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, value: int | str | bytes) -> bytes:
    """One protobuf field: a varint, or a string, bytes or message."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _value(name: str, shape: tuple[int | str, ...]) -> bytes:
    """A ValueInfoProto: a float32 tensor; axes that are texts are dynamic."""
    axes = b"".join(_field(1, _field(2 if isinstance(axis, str) else 1, axis)) for axis in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, axes)))


def _node(kind: str, inputs: list[str], output: str) -> bytes:
    names = b"".join(_field(1, name) for name in inputs)
    return names + _field(2, output) + _field(4, kind)


def write_onnx(
    path: Path,
    weights: np.ndarray,
    *,
    batch: int | str = "N",
    size: int | str = 32,
    external: str | None = None,
    outputs: int = 1,
) -> None:
    """A network: the mean of each channel, (N, 3), times ``weights``, float32 (3, dim).

    With ``external`` the weights are in a file of that name beside it.
    """
    raw = np.ascontiguousarray(weights, "<f4").tobytes()
    tensor = b"".join(_field(1, axis) for axis in weights.shape) + _field(2, 1) + _field(8, "w")
    if external is None:
        tensor += _field(9, raw)
    else:
        (path.parent / external).write_bytes(raw)
        tensor += _field(13, _field(1, "location") + _field(2, external)) + _field(14, 1)
    nodes = [
        _node("GlobalAveragePool", ["pixels"], "pooled"),
        _node("Flatten", ["pooled"], "flat"),
        _node("MatMul", ["flat", "w"], "vectors"),
    ]
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, "toy") + _field(5, tensor)
    graph += _field(11, _value("pixels", (batch, 3, size, size)))
    for name, dim in [("vectors", weights.shape[1]), ("flat", 3)][:outputs]:
        graph += _field(12, _value(name, (batch, dim)))
    path.write_bytes(_field(1, 8) + _field(7, graph) + _field(8, _field(2, 13)))
