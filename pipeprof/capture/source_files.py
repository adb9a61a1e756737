"""Which files a pipeline reads: the stages that read them, in what format, and where their names are held.

The one idea: names are constants of the Python datasets (of a reader, or of ``from_tensor_slices`` above the function that
reads; ``list_files`` is that too). Runs once, when the pipeline's tree is read; it touches no file and copies no name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeprof.capture.datasets import sources_first
from pipeprof.capture.functions import graph_nodes

_READERS = {
    "TFRecordDataset": "tfrecord",
    "TextLineDataset": "text",
    "FixedLengthRecordDataset": "fixed",
    "CSVDataset": "csv",
    "CsvDataset": "csv",
}
_DECODERS = {"DecodeWav": "audio", "DecodeAudioV2": "audio"}  # beside those of pictures
_COMPRESSION_INPUT = 1  # of the readers' ops: file names, compression, ...
_FIXED_COMPRESSION_INPUT = 5
_SLICES = "_TensorSliceDataset"


@dataclass(frozen=True, slots=True)
class NamedFiles:
    """One stage that reads files, and the tensors that may hold their names."""

    stage_id: str
    format: str
    compression: str
    names: tuple[Any, ...]  # eager string tensors


def find_named_files(dataset: Any) -> tuple[NamedFiles, ...]:  # Any: a tf.data.Dataset
    """Return the stages above ``dataset`` that read files, with ids as the written tree has them."""
    found = []
    for index, node in enumerate(sources_first(dataset)):
        kind = _read_by(node)
        names = tuple(_names(node)) if kind is not None else ()
        if kind is not None and names:
            found.append(NamedFiles(f"s{index}", kind[0], kind[1], names))
    return tuple(found)


def _read_by(node: Any) -> tuple[str, str] | None:
    """Return the format and the compression of what a stage reads, None where it reads no files."""
    own = _READERS.get(_plain_name(type(node).__name__.lstrip("_")))
    if own is not None:
        return own, _text(getattr(node, "_compression_type", None))
    nodes = list(graph_nodes(node))
    readers = [(item, _READERS[_plain_name(item.op)]) for item in nodes if _plain_name(item.op) in _READERS]
    if readers:
        op, name = readers[0]
        return name, _constant_compression(op, nodes)
    if any(item.op == "ReadFile" for item in nodes):
        return _whole_format({item.op for item in nodes}), ""
    return None


def _plain_name(name: str) -> str:
    return name[:-2] if name[-2:] in {"V1", "V2"} else name


def _whole_format(ops: set[str]) -> str:
    known = next((_DECODERS[name] for name in sorted(ops) if name in _DECODERS), None)
    pictures = any(
        name.startswith("Decode") and name[6:] in {"Jpeg", "Png", "Image", "Bmp", "Gif", "AndCropJpeg"} for name in ops
    )
    return known or ("image" if pictures else "whole")


def _constant_compression(reader: Any, nodes: list[Any]) -> str:
    """Return the compression that a reader inside a function is given, empty where that is no constant."""
    where = _FIXED_COMPRESSION_INPUT if reader.op == "FixedLengthRecordDatasetV2" else _COMPRESSION_INPUT
    if len(reader.input) <= where:
        return ""
    name = reader.input[where].split(":")[0]
    constant = next((item for item in nodes if item.name == name and item.op == "Const"), None)
    values = constant.attr["value"].tensor.string_val if constant is not None else ()
    return values[0].decode(errors="replace") if values else ""


def _names(node: Any) -> Iterator[Any]:
    """Yield the string tensors of a reader's own names, else those of the slices above the stage."""
    own = getattr(node, "_filenames", None)
    if own is not None and not hasattr(own, "_inputs"):
        yield own
        return
    for item in sources_first(node if own is None else own):
        if type(item).__name__ == _SLICES:
            yield from (tensor for tensor in item._tensors if _holds_names(tensor))


def _holds_names(tensor: Any) -> bool:
    is_text = getattr(getattr(tensor, "dtype", None), "name", "") == "string"
    return is_text and tensor.shape.rank == 1 and hasattr(tensor, "numpy")


def _text(value: Any) -> str:
    numpy = getattr(value, "numpy", None)
    plain = numpy() if numpy is not None else value
    return plain.decode(errors="replace") if isinstance(plain, bytes) else str(plain or "")
