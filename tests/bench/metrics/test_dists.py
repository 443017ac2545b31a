"""DISTS beside pyiqa's, a copy of the authors' code."""

from __future__ import annotations

import pytest
import torch

from bench.data.degrade import degrade, upsample
from bench.metrics import dists, lpips
from bench.runs.evaluate import to_tensor
from tests.bench.metrics.test_lpips import CPU, face, score


@pytest.mark.usefixtures("fetched")
def test_pyiqa_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers of torchvision's VGG16 get the convolutions of our file in their order."""
    import torchvision
    from pyiqa.archs.dists_arch import DISTS

    vgg16 = torchvision.models.vgg16
    monkeypatch.setattr(torchvision.models, "vgg16", lambda weights: vgg16(weights=None))
    oracle = DISTS(pretrained=False)
    vgg, votes = lpips.VGG_WEIGHTS.tensors(CPU), dists.WEIGHTS.tensors(CPU)
    for place, layer in enumerate(one for one in oracle.modules() if isinstance(one, torch.nn.Conv2d)):
        layer.weight.data, layer.bias.data = vgg[f"conv{place}.weight"], vgg[f"conv{place}.bias"]
    oracle.alpha.data, oracle.beta.data = (votes[name].reshape(1, -1, 1, 1) for name in ("alpha", "beta"))
    draw = torch.Generator().manual_seed(0)
    pairs = [(to_tensor(upsample(degrade(face(), scale), scale)), to_tensor(face())) for scale in (2, 8)]
    pairs.append((torch.rand(1, 3, 67, 93, generator=draw), torch.rand(1, 3, 67, 93, generator=draw)))
    for sr, hr in pairs:
        with torch.no_grad():
            expected = float(oracle(sr, hr))
        assert float(score("dists", sr, hr)) == pytest.approx(expected, abs=2e-6)


@pytest.mark.usefixtures("fetched")
def test_another_sample_of_a_texture_costs_less_than_blur() -> None:
    """What the metric was made for."""
    draw = torch.Generator().manual_seed(0)
    one, other = torch.rand(2, 1, 3, 96, 96, generator=draw)
    blurred = torch.nn.functional.avg_pool2d(one, 3, 1, 1)
    assert float(score("dists", other, one)) < 0.6 * float(score("dists", blurred, one))
