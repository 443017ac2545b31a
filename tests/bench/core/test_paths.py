"""Where things lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core import paths


def test_a_user_without_a_home_has_a_cache_folder_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "FSR_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    assert paths.cache() == Path("/.cache/fsr-bench")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert paths.cache() == Path("/somewhere/fsr-bench")
