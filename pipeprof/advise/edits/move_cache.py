"""Editor of ``move_cache``: lets a cache and its neighbour change places.

The first call is the cache and the second the take behind it, or the first is a random stage and the second the cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import libcst as cst

from pipeprof.advise.edits.chains import method
from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.exchange import exchange
from pipeprof.advise.edits.verify import Rewrite

_CACHE = frozenset({"cache"})
_TAKE = frozenset({"take"})
_RANDOM = frozenset({"map", "shuffle"})


def rewrite(document: Document, calls: Sequence[cst.Call], params: Mapping[str, object]) -> Rewrite:
    """Return the text in which the second call comes before the first.

    Raises:
        RefusalError: they are not neighbours, or in that order already.
    """
    del params  # it has none
    if method(calls[0]) in _CACHE:
        return exchange(document, calls, _CACHE, _TAKE)
    return exchange(document, calls, _RANDOM, _CACHE)
