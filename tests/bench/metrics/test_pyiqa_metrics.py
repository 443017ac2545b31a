"""pyiqa's metrics by name: listed with what they need, never imported for that, one line where they cannot run."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.cli.metrics import metrics_text
from bench.core.errors import UserError
from bench.metrics import pyiqa as provider
from bench.metrics.catalogue import catalogue, describe_metrics, get_metric, get_metrics
from bench.metrics.protocol import get_protocol
from bench.metrics.spec import Batch, Pairwise, UnavailableError

OFFLINE = sorted(set(provider._OFFLINE) - {"ms_ssim"})  # which needs larger pictures


def score(name: str, sr: torch.Tensor, hr: torch.Tensor | None) -> torch.Tensor:
    metric = get_metric(name)
    assert isinstance(metric, Pairwise)
    return metric.compute(Batch(sr, hr, None, get_protocol("rgb")))


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    hr = torch.rand(2, 3, 64, 64, generator=draw)
    return (hr + 0.1 * torch.randn(2, 3, 64, 64, generator=draw)).clamp(0, 1), hr


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no connection be made and no weights of the user be found."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("no route\nto host")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path))


def test_values_are_pyiqas() -> None:
    import pyiqa

    sr, hr = pair()
    assert torch.allclose(score("gmsd", sr, hr).float(), pyiqa.create_metric("gmsd", device="cpu")(sr, hr))
    assert torch.allclose(score("pyiqa:piqe", sr, None).float(), pyiqa.create_metric("piqe", device="cpu")(sr).float())


def test_the_table_is_pyiqas() -> None:
    """Names, directions and needs, read out of the source, are those of the imported package."""
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    known = provider.pyiqa_metrics()
    assert set(DEFAULT_CONFIGS) == {*known, "fid", "sfid", "fid_dinov2", "inception_score"}
    for name, metric in known.items():
        assert metric.higher_is_better != DEFAULT_CONFIGS[name].get("lower_better", False)
        assert metric.needs == (("hr",) if DEFAULT_CONFIGS[name]["metric_mode"] == "FR" else ())


@pytest.mark.parametrize("name", OFFLINE)
def test_what_is_called_offline_needs_no_network(name: str, no_network: None) -> None:
    sr, hr = (side[:1].repeat(1, 1, 2, 2) for side in pair())
    assert torch.isfinite(score(f"pyiqa:{name}", sr, hr)).all()


def test_what_cannot_be_made_says_why(no_network: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert provider.weights_of("cnniqa") == "download"
    with pytest.raises(UnavailableError, match=r"^pyiqa's cnniqa downloads weights, which failed \(.*\)$") as error:
        score("cnniqa", pair()[0], None)
    assert "\n" not in str(error.value)
    monkeypatch.setattr("pyiqa.create_metric", lambda *_, **__: __import__("no_such_package"))
    with pytest.raises(UnavailableError, match=r"needs another package \(ModuleNotFoundError: .*no_such_package"):
        score("clipiqa", pair()[0], None)


def test_what_has_run_here_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    class Network:
        metric_mode = "NR"

        def __call__(self, sr: torch.Tensor) -> torch.Tensor:
            return sr.mean((1, 2, 3))

    provider._network.cache_clear()
    monkeypatch.setattr("pyiqa.create_metric", lambda *_, **__: Network())
    score("musiq", pair()[0], None)
    provider._network.cache_clear()
    assert (provider.weights_of("musiq"), provider.weights_of("musiq-ava")) == ("cached", "download")


def test_names() -> None:
    assert get_metric("musiq") is get_metric("pyiqa:musiq") and get_metric("musiq").name == "pyiqa:musiq"
    assert len(get_metrics(["musiq", "pyiqa:musiq", "psnr"])) == 2
    assert get_metric("psnr") is catalogue()["psnr"] and get_metric("pyiqa:psnr").name == "pyiqa:psnr"
    for name, near in (("musik", "musiq"), ("pyiqa:musik", "musiq"), ("ms-ssim", "ms_ssim"), ("psnrr", "psnr")):
        with pytest.raises(UserError, match=f"did you mean '{near}'"):
            get_metric(name)
    with pytest.raises(UserError, match="compares whole sets"):
        get_metric("pyiqa:fid")


def test_the_list_says_what_each_needs() -> None:
    rows = {row["name"]: row for row in describe_metrics()}
    assert list(rows)[: len(catalogue())] == list(catalogue())
    assert (rows["pyiqa:musiq"]["weights"], rows["pyiqa:gmsd"]["weights"]) == ("download", "offline")
    assert rows["pyiqa:musiq"]["licence"] == "PolyForm-Noncommercial" and not rows["psnr"]["licence"]
    assert "PolyForm-Noncommercial" in metrics_text(list(rows.values()))


def test_the_list_imports_neither_torch_nor_pyiqa() -> None:
    code = (
        "import sys; from bench.metrics.catalogue import *; describe_metrics(); get_metric('musiq'); "
        "assert not {'torch', 'pyiqa', 'pandas', 'scipy', 'pydantic'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_scoring_imports_nothing_heavy_but_torch() -> None:
    """What a borrowed machine scores with: torch, numpy and pillow."""
    code = (
        "import sys, torch; from bench.metrics import scoring, protocol; from bench.metrics.catalogue import *; "
        "scorer = scoring.Scorer(get_metrics(['psnr', 'ssim', 'niqe']), [protocol.get_protocol('rgb')]); "
        "scorer.add(torch.rand(2, 3, 128, 128), (torch.rand(2, 128, 128, 3) * 255).byte().numpy()); "
        "assert len(scorer.finish().values) == 3; "
        "assert not {'pyiqa', 'pandas', 'scipy', 'pydantic', 'typer', 'matplotlib'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_pyiqa(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pyiqa" else find_spec(name))
    monkeypatch.setattr(provider, "_configs", dict)
    monkeypatch.setattr(provider, "pyiqa_metrics", dict)
    with pytest.raises(UnavailableError, match=r"pyiqa is not installed: pip install 'fsr-bench\[metrics\]'"):
        get_metric("pyiqa:gmsd")
    with pytest.raises(UserError, match=r"unknown metric 'musiq': .*pyiqa has more: pip install"):
        get_metric("musiq")
    assert metrics_text(describe_metrics()).splitlines()[-1].startswith("pyiqa has more metrics: pip install")
