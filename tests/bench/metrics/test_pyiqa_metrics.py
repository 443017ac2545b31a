"""pyiqa's metrics by name."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

from bench.core.errors import UserError
from bench.metrics.catalogue import get_metric
from bench.metrics.protocol import get_protocol
from bench.metrics.spec import Batch, Pairwise, UnavailableError


def score(name: str, sr: torch.Tensor, hr: torch.Tensor | None) -> torch.Tensor:
    metric = get_metric(name)
    assert isinstance(metric, Pairwise)
    return metric.compute(Batch(sr, hr, None, get_protocol("rgb")))


def test_values_are_pyiqas() -> None:
    import pyiqa

    draw = torch.Generator().manual_seed(0)
    hr = torch.rand(2, 3, 64, 64, generator=draw)
    sr = (hr + 0.1 * torch.randn(2, 3, 64, 64, generator=draw)).clamp(0, 1)
    assert torch.allclose(score("pyiqa:gmsd", sr, hr).float(), pyiqa.create_metric("gmsd", device="cpu")(sr, hr))
    assert torch.allclose(score("pyiqa:piqe", sr, None).float(), pyiqa.create_metric("piqe", device="cpu")(sr).float())
    assert not get_metric("pyiqa:gmsd").higher_is_better and get_metric("pyiqa:gmsd").needs == ("hr",)
    assert get_metric("pyiqa:musiq").higher_is_better and get_metric("pyiqa:musiq").needs == ()


def test_what_cannot_be_made_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyiqa

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("no route\nto host")

    monkeypatch.setattr(pyiqa, "create_metric", refuse)
    with pytest.raises(UnavailableError, match=r"pyiqa cannot make it here \(OSError: no route\)"):
        score("pyiqa:musiq-ava", torch.rand(1, 3, 64, 64), None)


def test_names() -> None:
    with pytest.raises(UserError, match="did you mean 'musiq'"):
        get_metric("pyiqa:musik")
    with pytest.raises(UserError, match="compares whole sets"):
        get_metric("pyiqa:fid")
    with pytest.raises(UserError, match=r"did you mean 'psnr'\?; any of pyiqa's is pyiqa:<name>"):
        get_metric("psnrr")


def test_without_pyiqa(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyiqa.default_model_configs", None)
    with pytest.raises(UnavailableError, match="pip install"):
        get_metric("pyiqa:gmsd")
