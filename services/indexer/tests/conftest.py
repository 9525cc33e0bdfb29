"""Fixtures that more than one kind of test needs."""

from pathlib import Path

import pytest

from precedent_indexer.adapters.model_graph import DEFAULT_MODEL_DIR, build_model
from precedent_indexer.model import ModelError, ModelFiles


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """The built model of this environment, built now if it is not there."""
    try:
        ModelFiles.read(DEFAULT_MODEL_DIR)
    except ModelError:
        build_model(DEFAULT_MODEL_DIR)
    return DEFAULT_MODEL_DIR
