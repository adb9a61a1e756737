"""The usual ways of tuning, applied mechanically to a pipeline's own source: AUTOTUNE everywhere, or one call for each core.

The one idea: every ``map`` and ``interleave`` without a number of calls gets one, every reader of TFRecords parallel reads, and
the pipeline a prefetch at its end; nothing else differs from what was written. Line numbers stay as they are.
"""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Callable
from typing import Any

CORES = len(os.sched_getaffinity(0))
Make = Callable[..., Any]
STYLES = {"AUTOTUNE": "tf.data.AUTOTUNE", "HEURISTIC": "CORES"}
_CALLS = {"map": "num_parallel_calls", "interleave": "num_parallel_calls", "TFRecordDataset": "num_parallel_reads"}


class _Tune(ast.NodeTransformer):
    def __init__(self, value: str) -> None:
        self._value = value

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        keyword = _CALLS.get(name)
        if keyword is not None and not any(item.arg == keyword for item in node.keywords):
            node.keywords.append(ast.keyword(keyword, ast.parse(self._value, mode="eval").body))
        return node


def in_style(make: Make, style: str) -> Make:
    """Return the pipeline in one of the ``STYLES``."""
    value = STYLES[style]
    module = inspect.getmodule(make)
    assert module is not None
    source, first = inspect.getsourcelines(make)
    tree = _Tune(value).visit(ast.parse("".join(source)))
    ast.increment_lineno(ast.fix_missing_locations(tree), first - 1)
    space = {"CORES": CORES, **vars(module)}
    exec(compile(tree, inspect.getfile(make), "exec"), space)
    tuned, import_tf = space[make.__name__], space["tf"]

    def build(*arguments: Any) -> Any:
        dataset = tuned(*arguments)
        size = import_tf.data.AUTOTUNE if style == "AUTOTUNE" else space["CORES"]
        return dataset if type(dataset).__name__ == "_PrefetchDataset" else dataset.prefetch(size)

    return build
