"""Attention and normalisation over channels against plain loops, and the names of released hourglasses."""

from __future__ import annotations

import pytest
import torch

from methods.ctcnet import CTCNet
from methods.layers.hourglass import HourglassLevel, released_name
from methods.layers.restormer import ChannelNorm, TransposedAttention
from methods.wfen import WFEN


def test_channel_norm_is_that_of_each_pixel() -> None:
    torch.manual_seed(0)
    layer, x = ChannelNorm(6), torch.randn(2, 6, 3, 4)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    pixel = x[1, :, 2, 3]
    expected = (pixel - pixel.mean()) / (pixel.var(correction=0) + 1e-5).sqrt() * layer.weight + layer.bias
    assert torch.allclose(layer(x)[1, :, 2, 3], expected, atol=1e-6)


@pytest.mark.parametrize("sparse", [False, True])
def test_transposed_attention_equals_a_loop_over_heads(sparse: bool) -> None:
    torch.manual_seed(0)
    layer, x = TransposedAttention(8, heads=2, sparse=sparse), torch.randn(1, 8, 4, 4)
    torch.nn.init.uniform_(layer.temperature, 1, 2)
    query, key, value = (part[0].flatten(1) for part in layer.qkv(x))
    rows = {}
    for channel in range(8):
        head = channel // 4
        scores = torch.stack([
            query[channel] @ key[other] / query[channel].norm() / key[other].norm()
            for other in range(4 * head, 4 * head + 4)
        ]) * layer.temperature[0 if sparse else head].squeeze()  # fmt: skip
        weights = scores.clamp_min(0) if sparse else scores.exp() / scores.exp().sum()
        rows[channel % 4 * 2 + head if sparse else channel] = weights @ value[4 * head : 4 * head + 4]
    expected = layer.project(torch.stack([rows[i] for i in range(8)]).view(1, 8, 4, 4))
    assert torch.allclose(layer(x), expected, atol=1e-5)


def test_heads_must_divide_channels() -> None:
    with pytest.raises(ValueError, match="divisible by heads, 6 and 4 given"):
        TransposedAttention(6, heads=4)


def test_released_hourglass_names_cover_its_tensors() -> None:
    parts = [f"b{part}_{level}" for level in (1, 2, 3) for part in (1, 2, 3)] + ["b2_plus_1"]
    layers = ["conv2d.weight", "relu.func.weight", *(f"norm.norm.{n}" for n in ("weight", "bias", "running_mean"))]
    ours = {released_name(f"{part}.{layer}", 3) for part in parts for layer in layers}
    own = set(HourglassLevel(4, 4, 3, prelu=True).state_dict())
    assert ours == {name for name in own if not name.endswith(("running_var", "num_batches_tracked"))}
    assert [released_name(name, 3) for name in ("b1_4.conv2d.weight", "b2_plus_2.conv2d.weight", "b4_1.x")] == [
        None
    ] * 3


def test_names_that_the_released_networks_have_not_are_unknown() -> None:
    unused = ("res_layers_up1.encoder.weight1.scale", "res_layers.3.conv1.conv2d.weight", "res_layers_back.att.x")
    assert [CTCNet.authors_key(key) for key in unused] == [""] * 3
    assert CTCNet.authors_key("res_layers.3.alise.layer2.conv1.bias") == "body.3.last.layer2.expand.bias"
    wrong = ("res_layers_up3.encoder.weight1.scale", "res_layers_up1.conv1.conv2d.weight", "res_layers.0.alise.weight6")
    assert [CTCNet.authors_key(key) for key in (*wrong, "conv.weight")] == [None] * 4
    assert WFEN.authors_key("HaarFeatureFusion2.InverseHaarWavelet.haar_weights") == ""
    wrong = (
        "Transformer.5.modules_norm.norm_0.body.bias",
        "HaarDownsample1.InverseHaarWavelet.haar_weights",
        "RB4.0.bias",
    )
    assert [WFEN.authors_key(key) for key in wrong] == [None] * 3
