"""What is known of TensorFlow's kinds of stages, by the names of their nodes (checked with TensorFlow 2.21).

Tables only; versions at the end of a name ("ParallelMapV2") say nothing about the kind.
"""

from __future__ import annotations

PREFETCH = "Prefetch"
ROOT = "Root"
SCAN = "Scan"
TAKE_WHILE = "TakeWhile"
GENERATOR = "Generator"

# One thread asks, others make: what the asking thread spends in them is waiting.
FUNCTION_POOLS = ("ParallelMap", "MapAndBatch", "ParallelFilter")  # run their function on the pool
READERS_AHEAD = ("ParallelInterleave", "LegacyParallelInterleave", "ParallelBatch")  # run their inputs on threads of their own
# One input is the source, all others are made from its elements and share one position.
FAN_OUT = ("FlatMap", "Interleave", "ParallelInterleave", "LegacyParallelInterleave", "GroupByWindow")
BUFFERED = (PREFETCH, "Shuffle", "ShuffleAndRepeat", *FUNCTION_POOLS, *READERS_AHEAD)
BATCHES = ("Batch", "PaddedBatch", "ParallelBatch", "MapAndBatch")
# One element out for one in, but for what fills a buffer first.
ONE_FOR_ONE = frozenset(
    {
        PREFETCH, "Map", "ParallelMap", "Shuffle", "ShuffleAndRepeat", "FiniteRepeat", "ForeverRepeat", "FiniteTake",
        "FiniteSkip", "Zip", SCAN, "Options",
    }
)  # fmt: skip
SELECTORS = ("DirectedInterleave",)  # the first input says which of the others comes next
ONE_SLOT = ("FiniteRepeat", "ForeverRepeat")  # their index counts repetitions, not inputs

PYTHON_OPS = frozenset({"PyFunc", "EagerPyFunc", "PyFuncStateless"})
RANDOM_OPS = frozenset(
    {
        "RandomUniform", "RandomUniformInt", "RandomStandardNormal", "TruncatedNormal", "RandomShuffle", "Multinomial",
        "RandomGamma", "RandomPoissonV2", "ParameterizedTruncatedNormal", "SampleDistortedBoundingBox",
        "SampleDistortedBoundingBoxV2", "RandomCrop", "RngReadAndSkip", "RngSkip", "StatefulUniform", "StatefulUniformInt",
        "StatefulUniformFullInt", "StatefulStandardNormalV2", "StatefulTruncatedNormal", "NonDeterministicInts",
    }
)  # fmt: skip
ASSIGN_OPS = ("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp", "ResourceScatter")


def stem(node: str) -> str:
    """Return a node's name without its version."""
    head, separator, tail = node.rpartition("V")
    return head if separator and tail.isdigit() else node


def is_asynchronous(node: str) -> bool:
    """Whether a stage works on threads of its own, so that a call of it is waiting and no work."""
    return stem(node) in {PREFETCH, *FUNCTION_POOLS, *READERS_AHEAD}
