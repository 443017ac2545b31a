"""The protocol `sparnet`, held to scikit-image and to plain NumPy that shares no code with it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from bench.errors import UserError
from bench.metrics.protocol import get_protocol
from bench.metrics.psnr import psnr
from bench.metrics.ssim import ssim


def pictures(seed: int, noise: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    low = draw.integers(0, 256, (2, 9, 9, 3))
    hr = np.kron(low, np.ones((1, 8, 8, 1), int)).astype(np.uint8)
    sr = np.clip(hr.astype(int) + draw.integers(-noise, noise + 1, hr.shape), 0, 255).astype(np.uint8)
    return sr, hr


def as_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(0, 3, 1, 2)


def plain_luma(image: np.ndarray) -> np.ndarray:
    weights = np.array([65.481, 128.553, 24.966]) / 255
    return np.floor(16 + image.astype(float) @ weights + 1e-9)


@pytest.mark.parametrize("noise", [1, 10, 80])
def test_scores_equal_scikit_image(noise: int) -> None:
    rule = get_protocol("sparnet")
    sr, hr = pictures(noise, noise)
    x, y = rule.to_luma(as_tensor(sr)), rule.to_luma(as_tensor(hr))
    for i in range(len(sr)):
        a, b = plain_luma(sr[i]), plain_luma(hr[i])
        assert np.array_equal(x[i].numpy(), a)
        assert float(psnr(x, y)[i]) == pytest.approx(peak_signal_noise_ratio(b, a, data_range=255), abs=1e-9)
        expected = structural_similarity(
            b, a, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert float(ssim(x, y)[i]) == pytest.approx(expected, abs=1e-9)


def test_equal_pictures() -> None:
    flat = torch.full((1, 16, 16), 100.0)
    assert math.isinf(float(psnr(flat, flat)))
    assert float(ssim(flat, flat)) == pytest.approx(1)


def test_truncation_keeps_every_level_and_floors_between() -> None:
    rule = get_protocol("sparnet")
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(rule.to_uint8(levels.float() / 255), levels)
    assert rule.to_uint8(torch.tensor([-0.1, 0.5, 99.9 / 255, 1.2])).tolist() == [0, 127, 99, 255]


def test_white_and_black_have_matlabs_luma() -> None:
    rule = get_protocol("sparnet")
    ends = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    assert rule.to_luma(ends).flatten().tolist() == [16, 235]


def test_ssim_needs_room_for_its_window() -> None:
    with pytest.raises(UserError, match="at least 11x11"):
        ssim(torch.zeros(1, 10, 20), torch.zeros(1, 10, 20))


def test_unknown_protocol() -> None:
    with pytest.raises(UserError, match="did you mean 'sparnet'"):
        get_protocol("sparnt")
