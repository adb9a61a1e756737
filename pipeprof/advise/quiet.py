"""Keeps TensorFlow's Python-side warnings out of the log while pipelines are rewritten."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def silence_tensorflow() -> Iterator[None]:
    """Keep Python-side warnings of traced functions out of the log while a pipeline is rewritten."""
    import logging

    logger = logging.getLogger("tensorflow")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
