"""Files can be read only where TensorFlow's message module lies; it is not imported."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


@pytest.fixture(scope="session")
def messages() -> None:
    """Skip where the file format is not known."""
    if find_spec("tensorflow") is None or find_spec("google.protobuf") is None:
        pytest.skip("TensorFlow's xplane_pb2.py is not installed")
