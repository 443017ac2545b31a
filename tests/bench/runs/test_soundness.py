from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bench.runs import soundness

OUTPUTS = torch.full((6, 3, 2, 2), 0.5)
OUTPUTS[1, 0, 0, 0], OUTPUTS[2, 0, 0, 0] = 1.5, 1.5001  # at the limit, and beyond it
OUTPUTS[3, :, 0], OUTPUTS[4, 2, 1, 1], OUTPUTS[5, 0] = math.nan, -math.inf, -3e38


@pytest.mark.parametrize("outputs", [OUTPUTS, OUTPUTS.numpy(), OUTPUTS.double()])
def test_outputs_are_told_apart(outputs: torch.Tensor | np.ndarray) -> None:
    assert soundness.is_finite(outputs).tolist() == [True, True, True, False, False, True]
    assert soundness.far_out(outputs).tolist() == [False, False, True, True, True, True]
    far = [0.0, 2.0, 2.0002, math.inf, math.inf, 6e38]  # more than float32 holds
    assert soundness.deviation(outputs).tolist() == pytest.approx(far, rel=1e-4)
    assert soundness.share_out(outputs).tolist() == pytest.approx([0, 0, 1 / 12, 6 / 12, 1 / 12, 4 / 12])
