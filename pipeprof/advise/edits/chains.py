"""Chains of method calls: which call follows which, and how one more call is laid out among them.

A link is the text between a receiver's end and the method's name: a dot with the blanks, comments and line continuations
around it. Chains keep the style they have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst

from pipeprof.advise.edits.document import Document
from pipeprof.advise.edits.names import DATASET, Place, meaning
from pipeprof.advise.edits.source_text import NEWLINE, RefusalError, Splice

_BREAK = re.compile(r"([ \t]*\\)?(\r\n|\r|\n)[ \t\f]*")
_COMMENT = re.compile(r"#[^\r\n]*")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


METHODS = _names(
    "apply batch bucket_by_sequence_length cache concatenate enumerate fingerprint filter "
    "filter_with_legacy_function flat_map group_by_window ignore_errors interleave map "
    "map_with_legacy_function padded_batch prefetch ragged_batch rebatch rejection_resample repeat scan "
    "shard shuffle skip snapshot sparse_batch take take_while unbatch unique window with_options"
)
CONSTRUCTORS = _names(
    "choose_from_datasets counter from_generator from_sparse_tensor_slices from_tensor_slices "
    "from_tensors list_files load random range sample_from_datasets zip"
)
CLASSES = _names("CsvDataset FixedLengthRecordDataset SqlDataset TFRecordDataset TextLineDataset")
_DATASET_CLASSES = frozenset({"Dataset", "DatasetV1", "DatasetV2"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """What joins a receiver and its method's name. Offsets into the document."""

    start: int  # the receiver's end
    dot: int
    end: int  # the name's start
    text: str

    @property
    def before(self) -> str:
        """The text before the dot."""
        return self.text[: self.dot - self.start]

    @property
    def after(self) -> str:
        """The text after the dot."""
        return self.text[self.dot - self.start + 1 :]

    @property
    def leads(self) -> bool:
        """Whether the dot starts a line."""
        return NEWLINE.search(self.before) is not None

    @property
    def trails(self) -> bool:
        """Whether the dot ends a line."""
        return NEWLINE.search(self.after) is not None

    @property
    def continues(self) -> bool:
        """Whether lines are joined by a backslash."""
        return "\\" in _COMMENT.sub("", self.text)


def link(document: Document, attribute: cst.Attribute) -> Link:
    """Return the link in front of a method's name."""
    start, end = document.outer_end(attribute.value), document.start(attribute.attr)
    return Link(start=start, dot=document.start(attribute.dot), end=end, text=document.text[start:end])


def method(call: cst.Call) -> str:
    """Return the name that is called: a method's or a function's; empty where it is another expression."""
    if isinstance(call.func, cst.Attribute):
        return call.func.attr.value
    return call.func.value if isinstance(call.func, cst.Name) else ""


def described(call: cst.Call) -> str:
    """Return the call for a message: ``.map(...)``."""
    return f".{method(call)}(...)" if isinstance(call.func, cst.Attribute) else f"{method(call)}(...)"


def next_attribute(document: Document, call: cst.Call) -> cst.Attribute | None:
    """Return the attribute taken of a call's result, where one is."""
    parent = document.parent(call)
    return parent if isinstance(parent, cst.Attribute) and parent.value is call else None


def next_call(document: Document, call: cst.Call) -> cst.Call | None:
    """Return the method call on a call's result, where there is one."""
    attribute = next_attribute(document, call)
    parent = None if attribute is None else document.parent(attribute)
    return parent if isinstance(parent, cst.Call) and parent.func is attribute else None


def chain_top(document: Document, call: cst.Call) -> cst.Call:
    """Return the last call of the chain that still makes a dataset."""
    top = call
    while (following := next_call(document, top)) is not None and method(following) in METHODS:
        top = following
    return top


def chain_down(call: cst.Call) -> Iterator[cst.Call]:
    """Yield the calls of a chain, from ``call`` towards its source."""
    current: cst.BaseExpression = call
    while isinstance(current, cst.Call):
        yield current
        if not isinstance(current.func, cst.Attribute):
            return
        current = current.func.value


def chain_root(expression: cst.BaseExpression) -> str | None:
    """Return the name that a chain of calls starts from (``ds`` in ``ds.map(f).batch(8)``)."""
    current = expression
    while isinstance(current, cst.Call) and isinstance(current.func, cst.Attribute):
        current = current.func.value
    return current.value if isinstance(current, cst.Name) else None


def is_class(document: Document, expression: cst.BaseExpression) -> bool:
    """Whether an expression is the class ``Dataset`` itself, not one of its instances."""
    name = expression.attr if isinstance(expression, cst.Attribute) else expression
    if isinstance(name, cst.Name) and name.value in _DATASET_CLASSES:
        return True
    return meaning(document, expression, Place.of(document, expression)) == DATASET


def require_dataset(document: Document, call: cst.Call) -> None:
    """Make sure that a call's value is a dataset, by the method or class that it names.

    Raises:
        RefusalError: it may be something else (a function of a library may return a tuple of datasets).
    """
    name = method(call)
    if isinstance(call.func, cst.Attribute):
        if name in METHODS or name in CLASSES or (name in CONSTRUCTORS and is_class(document, call.func.value)):
            return
    elif name in CLASSES:
        return
    raise RefusalError(f"{described(call)} is not known to return one tf.data.Dataset")


def append_call(document: Document, call: cst.Call, code: str) -> Splice:
    """Return the splice that calls ``code`` (``cache()``) on the value of ``call``, laid out as the chain around it."""
    end = document.end(call)
    following = next_attribute(document, call)
    if following is not None:
        style = link(document, following)
    elif isinstance(call.func, cst.Attribute):
        style = link(document, call.func)
    else:
        return Splice(start=end, end=end, text=f".{code}")
    if style.trails:
        joint = _last_break(style.after)
        if following is None:
            return Splice(start=end, end=end, text=f".{joint}{code}")
        return Splice(start=style.end, end=style.end, text=f"{code}.{joint}")
    if not style.leads:
        return Splice(start=end, end=end, text=f".{code}")
    joint = _last_break(style.before)
    rest = None if "\\" in joint else document.rest_of_line(end)  # no comment can stand before a continuation
    at = end if rest is None else rest[0]
    return Splice(start=at, end=at, text=f"{joint}.{code}")


def _last_break(text: str) -> str:
    """Return the last line end of ``text``, with the backslash that joins its lines and the indentation behind it."""
    found = list(_BREAK.finditer(text))
    return found[-1].group() if found else ""
