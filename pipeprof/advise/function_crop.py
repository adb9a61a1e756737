"""Lets a function decode only the part of a JPEG that it crops out, with the very same pixels.

The one idea: ``DecodeAndCropJpeg`` gives other pixels in the outermost rows and columns of its window where colour is
subsampled (by up to 43 of 255: TensorFlow 2.21, libjpeg's fancy upscaling), and equal ones within. So the window is two pixels
wider on each side, within the picture, and the function's own crop takes the inner part. What asks for the whole picture's
shape gets it from the file's header.
"""

from __future__ import annotations

from typing import Any  # protocol buffers of TensorFlow carry no types

from pipeprof.advise import graph as graphs
from pipeprof.errors import TrialError

_MARGIN = 2  # pixels: the outermost one differs, whatever the size of the picture and of the window
_ELEMENTWISE = frozenset({"Add", "AddV2", "Sub", "Mul", "Div", "RealDiv", "Cast", "Identity", "Maximum", "Minimum"})
_FIRST_AXIS = "ExpandDims"
_SHAPES = frozenset({"Shape"})


def fuse_crop(function: Any) -> None:
    """Edit a library function in place.

    Raises:
        TrialError: it decodes no JPEG that it only crops, or not in a way that is understood.
    """
    decodes = [node for node in function.node_def if node.op == "DecodeJpeg"]
    if not decodes:
        raise TrialError("the function itself decodes no JPEG")
    found = [crop for node in decodes if (crop := _Crop.after(function, node)) is not None]
    if not found:
        raise TrialError("no decoded picture is directly cropped, and by nothing else read")
    for crop in found:
        crop.fuse()


class _Crop:
    """A decoding, and the slice by which the function crops it."""

    def __init__(self, function: Any, decode: Any, cut: Any, shapes: list[Any], leading: int) -> None:
        self._function, self._decode, self._cut = function, decode, cut
        self._shapes = shapes  # what asks for the picture's shape, with how many axes stand before its rows
        self._leading = leading

    @classmethod
    def after(cls, function: Any, decode: Any) -> _Crop | None:
        """Follow a decoded picture to its crop; None where it is not the only thing that is done with all pixels."""
        if decode.attr["ratio"].i not in {0, 1} or not decode.attr["channels"].i:
            return None  # how many channels a file has is told in two ways (CMYK: 4 by its header, 3 once decoded)
        node, leading, shapes = decode, 0, []
        while True:
            readers = _readers(function, node)
            shapes += [(reader, leading) for reader in readers if reader.op in _SHAPES]
            others = [reader for reader in readers if reader.op not in _SHAPES and not _leads_nowhere(function, reader)]
            if len(others) != 1 or _is_returned(function, node):
                return None
            (reader,) = others
            if reader.op == "Slice":
                is_picture = graphs.node_name(reader.input[0]) == node.name
                return cls(function, decode, reader, shapes, leading) if is_picture else None
            if reader.op == _FIRST_AXIS and _constant(function, reader.input[1]) == 0:
                leading += 1
            elif reader.op not in _ELEMENTWISE or not _is_alone(function, reader, node):
                return None
            node = reader

    def fuse(self) -> None:
        """Decode the window with its margin, and cut that off where the function crops."""
        import tensorflow as tf

        whole = self._whole_shape()
        for shape, leading in self._shapes:
            self._answer(shape, leading, whole)
        begin, size = (self._as_int32(text) for text in self._cut.input[1:3])
        rank = self._leading
        top_left, extent = self._part(begin, rank, 2), self._part(size, rank, 2)
        margin, zero = self._constant([_MARGIN, _MARGIN]), self._constant([0, 0])
        low = self._op("Maximum", "z", self._op("Sub", "z", top_left, margin), zero)
        end = self._op("AddV2", "z", self._op("AddV2", "z", top_left, extent), margin)
        high = self._op("Minimum", "z", end, self._part(whole, 0, 2))
        window = self._join(low, self._op("Sub", "z", high, low))
        inner = self._op("Sub", "z", top_left, low)
        moved = (
            self._join(self._part(begin, 0, rank), inner, self._part(begin, rank + 2, -1))
            if rank
            else self._join(inner, self._part(begin, 2, -1))
        )
        self._decode.op = "DecodeAndCropJpeg"
        self._decode.input.insert(1, window)
        self._cut.input[1] = moved if self._index_type() == tf.int32 else self._cast(moved, tf.int32, self._index_type())

    def _whole_shape(self) -> str:
        """Return rows, columns and channels of the whole picture, as the function would have seen them."""
        import tensorflow as tf

        header = graphs.add_function_node(self._function, "ExtractJpegShape", [self._decode.input[0]])
        header.attr["output_type"].type = tf.int32.as_datatype_enum
        shape = f"{header.name}:image_shape:0"
        return self._join(self._part(shape, 0, 2), self._constant([int(self._decode.attr["channels"].i)]))

    def _answer(self, node: Any, leading: int, whole: str) -> None:
        """Give what reads a shape the whole picture's."""
        import tensorflow as tf

        shape = self._join(self._constant([1] * leading), whole) if leading else whole
        wanted = tf.as_dtype(node.attr["out_type"].type or tf.int32.as_datatype_enum)
        text = shape if wanted == tf.int32 else self._cast(shape, tf.int32, wanted)
        for reader in self._function.node_def:
            for index, read in enumerate(reader.input):
                if read == f"{node.name}:output:0":
                    reader.input[index] = text
        for key, read in self._function.ret.items():
            if read == f"{node.name}:output:0":
                self._function.ret[key] = text

    def _index_type(self) -> Any:
        import tensorflow as tf

        return tf.as_dtype(self._cut.attr["Index"].type)

    def _as_int32(self, text: str) -> str:
        import tensorflow as tf

        return text if self._index_type() == tf.int32 else self._cast(text, self._index_type(), tf.int32)

    # --- small nodes, all of int32 vectors ------------------------------------------------------------------------

    def _constant(self, value: list[int]) -> str:
        import tensorflow as tf

        return graphs.add_function_constant(self._function, value, tf.int32)

    def _op(self, op: str, output: str, *inputs: str) -> str:
        import tensorflow as tf

        node = graphs.add_function_node(self._function, op, inputs)
        node.attr["T"].type = tf.int32.as_datatype_enum
        return f"{node.name}:{output}:0"

    def _part(self, vector: str, begin: int, size: int) -> str:
        import tensorflow as tf

        text = self._op("Slice", "output", vector, self._constant([begin]), self._constant([size]))
        node = graphs.function_nodes(self._function)[graphs.node_name(text)]
        node.attr["Index"].type = tf.int32.as_datatype_enum
        return text

    def _join(self, *vectors: str) -> str:
        import tensorflow as tf

        axis = graphs.add_function_constant(self._function, 0, tf.int32)
        node = graphs.add_function_node(self._function, "ConcatV2", [*vectors, axis])
        node.attr["N"].i = len(vectors)
        node.attr["T"].type = node.attr["Tidx"].type = tf.int32.as_datatype_enum
        return f"{node.name}:output:0"

    def _cast(self, text: str, source: Any, target: Any) -> str:
        node = graphs.add_function_node(self._function, "Cast", [text])
        node.attr["SrcT"].type, node.attr["DstT"].type = source.as_datatype_enum, target.as_datatype_enum
        node.attr["Truncate"].b = False
        return f"{node.name}:y:0"


def _readers(function: Any, node: Any) -> list[Any]:
    return [
        reader
        for reader in function.node_def
        if any(not text.startswith("^") and graphs.node_name(text) == node.name for text in reader.input)
    ]


def _leads_nowhere(function: Any, node: Any) -> bool:
    """Tell whether an op only hands a value on, and to nothing: it stands for an order of ops."""
    return node.op == "Identity" and not _readers(function, node) and not _is_returned(function, node)


def _is_returned(function: Any, node: Any) -> bool:
    return any(graphs.node_name(text) == node.name for text in function.ret.values())


def _is_alone(function: Any, reader: Any, node: Any) -> bool:
    """Tell whether all that an elementwise op reads beside the picture are single constants, the same for every pixel."""
    nodes = graphs.function_nodes(function)
    others = [graphs.node_name(text) for text in reader.input if not text.startswith("^")]
    return all(name == node.name or _is_scalar(nodes.get(name)) for name in others)


def _is_scalar(node: Any | None) -> bool:
    return node is not None and node.op == "Const" and not node.attr["value"].tensor.tensor_shape.dim


def _constant(function: Any, text: str) -> Any:
    return graphs.constant_value(graphs.function_nodes(function).get(graphs.node_name(text)))
