"""Editor of ``vectorize``: lets a map and the batch directly behind it change places.

Whether the mapped function may see batches is not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import libcst as cst

from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.exchange import exchange
from pipeprof.advise.edits.verify import Rewrite

_BEFORE = frozenset({"map"})
_BEHIND = frozenset({"batch"})


def rewrite(document: Document, calls: Sequence[cst.Call], params: Mapping[str, object]) -> Rewrite:
    """Return the text in which the second call comes before the first, the map.

    Raises:
        RefusalError: they are not neighbours, or in that order already.
    """
    del params  # it has none
    return exchange(document, calls, _BEFORE, _BEHIND)
