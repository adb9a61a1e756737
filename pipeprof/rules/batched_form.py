"""Which functions can work on a whole batch as well, and what handing over single elements costs beside them.

The one idea: operations without a batched form are listed, by prefix; all others are taken to have one, which a trial proves.
"""

from __future__ import annotations

from pipeprof.model.analysis import PipelineView
from pipeprof.model.profile import StageFunction

# Without a batched form, by prefix: images and audio, strings, files, tables, loops, results whose shape depends on values.
_NOT_BATCHED = (
    "Decode", "Encode", "Resize", "Extract", "Draw", "NonMaxSuppression", "CropAndResize", "ImageProjective", "String",
    "Static", "Regex", "Unicode", "Substr", "AsString", "ReadFile", "WriteFile", "MatchingFiles", "LookupTable", "HashTable",
    "Unique", "Where", "Rng", "Random", "StatelessRandom", "Stateless", "Multinomial", "PyFunc", "EagerPyFunc",
    "ParseTensor", "Serialize", "Deserialize", "Print", "While", "If", "Case", "TensorList", "TensorArray", "Ragged", "Sparse",
    "Audio", "Mfcc", "Tokenize", "Sentencepiece", "Dynamic", "SetSize", "DenseToDense", "Bincount",
)  # fmt: skip
_BATCHED_ALL_THE_SAME = frozenset({"DecodeCSV"})
PARSERS = frozenset(
    {"DecodeCSV", "ParseExampleV2", "ParseSequenceExampleV2", "ParseSingleExample", "ParseSingleSequenceExample"}
)


def has_batched_form(function: StageFunction) -> bool:
    """Tell whether every operation of a function works on a whole batch as well."""
    if function.random_ops or function.python_ops or function.stateful_ops or function.inner_datasets:
        return False
    return all(op in _BATCHED_ALL_THE_SAME or not op.startswith(_NOT_BATCHED) for op in function.op_types)


def parses_records(function: StageFunction) -> bool:
    """Tell whether a function parses records: examples, or lines of a table."""
    return not PARSERS.isdisjoint(function.op_types)


def share_of_hand_over(train: PipelineView, visits: float, max_element_s: float) -> float:
    """Return the share of the step that handing single elements from thread to thread costs.

    TensorFlow's counters see the function, not the hand-over. Where training waits although every stage is fast enough by the
    counters, what they do not explain of the step is that, as far as it is no more than ``max_element_s`` for each element.
    """
    if not train.step_s or not train.wait_s or train.production_s_per_step is None:
        return 0.0
    hidden_s = train.step_s - max(train.production_s_per_step, train.gap_s or 0.0)
    if hidden_s <= 0 or hidden_s > visits * max_element_s:
        return 0.0
    return min(train.wait_s, hidden_s) * (1 - 1 / visits) / train.step_s
