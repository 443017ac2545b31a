"""pyiqa's metrics, beside ours: any of them by name, `musiq` or `pyiqa:musiq`. Names are read without importing pyiqa.

pyiqa is under PolyForm-Noncommercial and used where it is asked for alone; most of its metrics download weights.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.util
import io
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core import paths
from bench.core.errors import UserError, reason
from bench.core.files import write_bytes
from bench.metrics.protocol import unit
from bench.metrics.spec import Batch, Pairwise, UnavailableError

if TYPE_CHECKING:
    from torch import Tensor

LICENCE = "PolyForm-Noncommercial"
INSTALL = "pip install 'fsr-bench[metrics]'"
_WHOLE_SETS = ("fid", "sfid", "fid_dinov2", "fid_mmd", "inception_score")
# What needs no weights; the tests make each of them without network.
_OFFLINE = (
    *("psnr", "psnry", "ssim", "ssimc", "ms_ssim", "cw_ssim", "fsim", "gmsd", "mad", "nlpd", "vif", "vsi"),
    *("entropy", "piqe"),
)
_CAUTIONS = {
    "mad": "has been seen to give 0 for visible noise",
    "ms_ssim": "has no value for pictures as small as 128x128",
}


@functools.cache
def pyiqa_metrics() -> dict[str, Pairwise]:
    """Return pyiqa's metrics of single pictures by their names there; none where pyiqa is not installed."""
    return {
        name: Pairwise(
            f"pyiqa:{name}",
            name,
            "",
            not config.get("lower_better", False),
            4,
            ("hr",) if config.get("metric_mode") == "FR" else (),
            f"pyiqa's {name} with its own settings, which no protocol changes",
            parameters=_version,
            caution=_CAUTIONS.get(name, ""),
            extra="metrics",
            compute=functools.partial(_compute, name),
        )
        for name, config in _configs().items()
        if name not in _WHOLE_SETS
    }


def pyiqa_metric(name: str) -> Pairwise | None:
    """Return pyiqa's metric `name`, whose network is made when it first scores; None where there is none.

    Raises UserError for a metric that has no value of single pictures.
    """
    if name in _WHOLE_SETS and name in _configs():
        raise UserError(f"pyiqa:{name} compares whole sets of pictures; it has no value of one")
    return pyiqa_metrics().get(name)


def is_installed() -> bool:
    """Tell whether pyiqa is installed, without importing it."""
    return importlib.util.find_spec("pyiqa") is not None


def weights_of(name: str) -> str:
    """Return what pyiqa's metric needs: `offline` for nothing, `cached` when it has run here, else `download`."""
    if name in _OFFLINE:
        return "offline"
    return "cached" if _mark(name).exists() else "download"


@functools.cache
def _configs() -> dict[str, Any]:
    """Return pyiqa's table of metrics, read out of its source: importing it would import torch and take seconds."""
    spec = importlib.util.find_spec("pyiqa")
    if spec is None or spec.origin is None:
        return {}
    table = ast.parse(Path(spec.origin).with_name("default_model_configs.py").read_text(encoding="utf-8"))
    (value,) = (node.value for node in table.body if isinstance(node, ast.Assign))
    assert isinstance(value, ast.Call), "an OrderedDict of one literal"
    return dict(ast.literal_eval(value.args[0]))


def _version() -> dict[str, str]:
    return {"pyiqa": version("pyiqa")}


def _mark(name: str) -> Path:
    """Return the empty file that says that this version's metric has been made here."""
    return paths.cache() / "pyiqa" / version("pyiqa") / name


@functools.lru_cache(maxsize=4)
def _network(name: str, device: str) -> Any:
    """Return pyiqa's network; whatever keeps it from being made is one line of UnavailableError."""
    import pyiqa

    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            network = pyiqa.create_metric(name, device=device)
    except ImportError as error:
        raise UnavailableError(f"pyiqa's {name} needs another package ({reason(error)})") from None
    except Exception as error:  # URLError, LocalEntryNotFoundError: each metric has its own
        what = "cannot be made" if name in _OFFLINE else "downloads weights, which failed"
        raise UnavailableError(f"pyiqa's {name} {what} ({reason(error)})") from None
    if name not in _OFFLINE:
        with contextlib.suppress(OSError):
            write_bytes(_mark(name), b"")
    return network


def _compute(name: str, batch: Batch) -> Tensor:
    """Return pyiqa's values, float64 [B], of pictures clamped to [0, 1]."""
    import torch

    network = _network(name, str(batch.sr.device))
    pictures = [unit(batch.sr).clamp(0, 1)]
    pictures += [unit(batch.hr)] if network.metric_mode == "FR" and batch.hr is not None else []
    with torch.no_grad():
        values: Tensor = network(*pictures)
    return values.double().reshape(-1)
