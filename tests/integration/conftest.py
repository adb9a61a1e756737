"""What every test on real TensorFlow starts from."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _no_global_seed(monkeypatch):
    """A global seed that an earlier test set would be written into every random op of a later one."""
    context = sys.modules.get("tensorflow.python.eager.context")
    if context is not None:
        monkeypatch.setattr(context.context(), "_seed", None)
