"""The written pipeline: every dataset the program makes, where it was made, and the tree they form.

``DatasetRegistry.note`` runs for each dataset and must stay at a few microseconds; the tree is read once, when the
dataset is first iterated. Datasets are only held weakly.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeprof.capture.call_sites import Origin, capture_origin, resolve
from pipeprof.capture.functions import captured_bytes, describe_function
from pipeprof.model.profile import CallSite, StageFunction, WrittenStage

_MAX_ARGUMENTS = 14
_MAX_TEXT = 120
_HIDDEN = frozenset({"_structure", "_options_attr", "_name", "_variant_tensor_attr", "_graph_attr", "_metadata"})
# Python classes whose name does not give the method that the user wrote.
_METHODS = {
    "_ParallelMapDataset": "map",
    "_ParallelBatchDataset": "batch",
    "_ParallelInterleaveDataset": "interleave",
    "_TensorSliceDataset": "from_tensor_slices",
    "_TensorDataset": "from_tensors",
    "_OptionsDataset": "with_options",
    "_DirectedInterleaveDataset": "sample_from_datasets",
    "_RestructuredDataset": "restructure",
    "_VariantDataset": "variant",
    "_DenseToRaggedDataset": "ragged_batch",
    "_RangeDataset": "range",
    "TFRecordDatasetV2": "TFRecordDataset",
    "_TFRecordDatasetV2": "TFRecordDataset",
    "TextLineDatasetV2": "TextLineDataset",
    "_TextLineDatasetV2": "TextLineDataset",
    "CsvDatasetV2": "CsvDataset",
    "FixedLengthRecordDatasetV2": "FixedLengthRecordDataset",
}


@dataclass(frozen=True, slots=True)
class WrittenTree:
    """A pipeline as written: its stages, sources first."""

    stages: tuple[WrittenStage, ...]
    output: str
    origin: Origin | None
    constant_bytes: int
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def call_site(self) -> CallSite | None:
        """Where the last stage that the user wrote stands."""
        sites = [stage.call_site for stage in reversed(self.stages) if stage.call_site is not None]
        return sites[0] if sites else None

    @property
    def signature(self) -> tuple[str, ...]:
        """The chain of classes: two pipelines of one call site are the same when it is equal."""
        return tuple(stage.class_name for stage in self.stages)


class DatasetRegistry:
    """Where each live dataset was made."""

    def __init__(self) -> None:
        """Start empty."""
        self._origins: weakref.WeakKeyDictionary[Any, Origin] = weakref.WeakKeyDictionary()
        self.files: dict[str, None] = {}  # the user's files seen, in order

    def note(self, dataset: Any) -> None:  # Any: a tf.data.Dataset
        """Remember where ``dataset`` is being made; called from inside its constructor."""
        origin = capture_origin(skip=2)
        self._origins[dataset] = origin
        if origin.user is not None:
            self.files.setdefault(origin.user.code.co_filename)

    def origin(self, dataset: Any) -> Origin | None:
        """Return where a dataset was made, None where that was before the capture began."""
        return self._origins.get(dataset)

    def read_tree(self, dataset: Any) -> WrittenTree:
        """Read the tree of stages above ``dataset``; a dataset used twice is one stage with two consumers."""
        ids: dict[int, str] = {}
        stages: list[WrittenStage] = []
        for node in sources_first(dataset):
            stage_id = f"s{len(stages)}"
            inputs = tuple(ids[id(parent)] for parent in node._inputs())
            ids[id(node)] = stage_id
            stages.append(self._describe(node, stage_id, inputs))
        return WrittenTree(
            stages=tuple(stages),
            output=ids[id(dataset)],
            origin=self._origins.get(dataset),
            constant_bytes=sum(stage.constant_bytes for stage in stages),
            options=read_options(dataset),
        )

    def _describe(self, dataset: Any, stage_id: str, inputs: tuple[str, ...]) -> WrittenStage:
        origin = self._origins.get(dataset)
        user, library = resolve(origin) if origin is not None else (None, None)
        size, tensors = _element_size(dataset)
        class_name = type(dataset).__name__
        function = describe_function(dataset, user)
        for site in () if function is None else (function.parse_call, function.inner_map):
            if site is not None:
                self.files.setdefault(site.file)  # a patch may have to change it
        return WrittenStage(
            id=stage_id,
            op=_method_name(class_name, function),
            class_name=class_name,
            inputs=inputs,
            call_site=user,
            library_site=library,
            arguments=_arguments(dataset),
            function=function,
            element_bytes=size,
            element_tensors=tensors,
            constant_bytes=captured_bytes(dataset),
            cardinality=_cardinality(dataset),
        )


def read_options(dataset: Any) -> dict[str, Any]:
    """Return the options that matter to a diagnosis; empty where they cannot be read."""
    try:
        options = dataset.options()
    except (AttributeError, ValueError):
        return {}
    return {
        "threadpool_size": options.threading.private_threadpool_size,
        "autotune": options.autotune.enabled,
        "ram_budget": options.autotune.ram_budget,
        "deterministic": options.deterministic,
    }


def sources_first(dataset: Any) -> Iterator[Any]:
    """Yield the datasets of a tree, each once, inputs before their consumers."""
    seen: set[int] = set()
    stack: list[tuple[Any, bool]] = [(dataset, False)]
    while stack:
        node, expanded = stack.pop()
        if id(node) in seen:
            continue
        if expanded:
            seen.add(id(node))
            yield node
            continue
        stack.append((node, True))
        stack.extend((parent, False) for parent in reversed(node._inputs()))


def _method_name(class_name: str, function: StageFunction | None) -> str:
    """Return the method as a user writes it; ``from_generator`` is a flat_map over a generator dataset."""
    if class_name == "_FlatMapDataset" and function is not None and "GeneratorDataset" in function.inner_datasets:
        return "from_generator"
    known = _METHODS.get(class_name)
    if known is not None:
        return known
    plain = re.sub(r"(?:V\d)?Dataset(?:V\d)?$", "", class_name.lstrip("_"))
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain).lower()


def _arguments(dataset: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in vars(dataset).items():
        if key in _HIDDEN or len(found) >= _MAX_ARGUMENTS:
            continue
        plain = _plain(value)
        if plain is not None:
            found[key.strip("_")] = plain
    return found


def _plain(value: Any) -> str | int | float | bool | None:
    """Return a scalar as a Python value; None for anything else (symbolic tensors too)."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value[:_MAX_TEXT]
    numpy = getattr(value, "numpy", None)
    if numpy is None or getattr(value, "shape", None) is None or value.shape.rank != 0:
        return None
    if getattr(value.dtype, "name", "") in {"variant", "resource"}:
        return None
    scalar = numpy()
    if isinstance(scalar, bytes):
        return scalar.decode(errors="replace")[:_MAX_TEXT]
    item = scalar.item() if hasattr(scalar, "item") else scalar
    return item if isinstance(item, bool | int | float | str) else None


def _element_size(dataset: Any) -> tuple[int | None, int | None]:
    """Return bytes and tensors of one element where the shapes are static and hold no strings."""
    from tensorflow.python.data.util import structure

    try:
        types = structure.get_flat_tensor_types(dataset.element_spec)
        shapes = structure.get_flat_tensor_shapes(dataset.element_spec)
    except (TypeError, ValueError, NotImplementedError):
        return None, None
    size = 0
    for dtype, shape in zip(types, shapes, strict=True):
        count = shape.num_elements()
        if count is None or dtype.name in {"string", "variant", "resource"}:
            return None, len(types)
        size += count * dtype.size
    return size, len(types)


def _cardinality(dataset: Any) -> int:
    from tensorflow.python.ops import gen_dataset_ops

    try:
        return int(gen_dataset_ops.dataset_cardinality(dataset._variant_tensor))
    except Exception:  # noqa: BLE001 - any failure of TensorFlow's means "unknown", which is what -2 says
        return -2
