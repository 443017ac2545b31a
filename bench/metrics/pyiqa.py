"""Any metric of pyiqa by name: `pyiqa:musiq`. pyiqa is under PolyForm-Noncommercial; most of it downloads weights."""

from __future__ import annotations

import contextlib
import functools
import io
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError, reason, suggest
from bench.metrics.spec import Batch, Pairwise, UnavailableError

if TYPE_CHECKING:
    from torch import Tensor

_WHOLE_SETS = ("fid", "fid_dinov2", "fid_mmd", "inception_score")
_CAUTIONS = {"mad": "has been seen to give 0 for visible noise"}


def pyiqa_metric(name: str) -> Pairwise:
    """Return pyiqa's metric `name`, whose network is made when it first scores.

    Raises UserError for a name that pyiqa does not know or that has no value of single pictures, and UnavailableError
    without pyiqa.
    """
    configs = _configs()
    if name not in configs:
        raise UserError(f"pyiqa has no metric '{name}': {suggest(name, configs)}")
    if name in _WHOLE_SETS:
        raise UserError(f"pyiqa:{name} compares whole sets of pictures; it has no value of one")
    config = configs[name]
    return Pairwise(
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


def _configs() -> dict[str, Any]:
    try:
        from pyiqa.default_model_configs import DEFAULT_CONFIGS
    except ImportError:
        raise UnavailableError("pyiqa is not installed: pip install 'fsr-bench[metrics]'") from None
    return dict(DEFAULT_CONFIGS)


def _version() -> dict[str, str]:
    from importlib.metadata import version

    return {"pyiqa": version("pyiqa")}


@functools.lru_cache(maxsize=4)
def _network(name: str, device: str) -> Any:
    """Return pyiqa's network; whatever keeps it from being made is one line of UnavailableError."""
    import pyiqa

    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return pyiqa.create_metric(name, device=device)
    except Exception as error:  # URLError, LocalEntryNotFoundError, ModuleNotFoundError: each metric has its own
        raise UnavailableError(f"pyiqa cannot make it here ({reason(error)})") from None


def _compute(name: str, batch: Batch) -> Tensor:
    """Return pyiqa's values, float64 [B], of pictures clamped to [0, 1]."""
    import torch

    network = _network(name, str(batch.sr.device))
    pictures = [batch.sr.clamp(0, 1)] + ([batch.hr] if network.metric_mode == "FR" and batch.hr is not None else [])
    with torch.no_grad():
        values: Tensor = network(*pictures)
    return values.double().reshape(-1)
