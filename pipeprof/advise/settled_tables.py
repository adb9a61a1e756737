"""Lookup tables that nothing can change once they are made: a stage that reads only such may be made at any time.

A table's handle does not tell of which kind it is, and asking TensorFlow would print into the program's log. So the program's
own table objects are looked for, in 0.1 s, and only where a stage would be left as it is without them.
"""

from __future__ import annotations

import gc
from typing import Any  # TensorFlow's datasets and tables carry no types

from pipeprof.capture.functions import captured_tensors


def reads_settled_tables(dataset: Any) -> bool:
    """Tell whether all resources that a stage's functions captured are tables filled as they were made, and never again."""
    from tensorflow.python.ops.lookup_ops import InitializableLookupTableBase

    handles = [tensor for tensor in captured_tensors(dataset) if tensor.dtype.name == "resource"]
    tables = [item for item in gc.get_objects() if issubclass(type(item), InitializableLookupTableBase)]
    settled = {id(table.resource_handle) for table in tables}
    return bool(handles) and all(id(handle) in settled for handle in handles)
