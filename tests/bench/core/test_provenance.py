"""Which devices are taken."""

from __future__ import annotations

import pytest
import torch

from bench.core.errors import UserError
from bench.core.provenance import choose_device


def test_apples_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("mps") == torch.device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match="--device mps: there is none; expected auto, cpu, cuda or cuda:N"):
        choose_device("mps")
