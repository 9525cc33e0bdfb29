"""Fixtures that more than one kind of test needs."""

import logging
from pathlib import Path

import pytest
import structlog

from precedent_indexer.adapters.model.graph import DEFAULT_MODEL_DIR, build_model
from precedent_indexer.embedding.model_files import ModelError, ModelFiles


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> None:
    """Failures by the thousand are what these tests make: a log line for each would bury the one that matters."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """The built model of this environment, built now if it is not there."""
    try:
        ModelFiles.read(DEFAULT_MODEL_DIR)
    except ModelError:
        build_model(DEFAULT_MODEL_DIR)
    return DEFAULT_MODEL_DIR
