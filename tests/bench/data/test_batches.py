from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from bench.core.errors import UserError
from bench.data.augment import Augment
from bench.data.batches import (
    Batches,
    cut_by_products,
    cut_faces,
    degrade_batch,
    degrade_by_products,
    draw_cuts,
)

CPU = torch.device("cpu")
OFF = Augment(flip=False, scale=(1.0, 1.0), rot90=False)


def faces(count: int = 5, size: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def make(count: int = 5, seed: int = 0, augment: Augment = OFF, batch: int = 2) -> Batches:
    return Batches(faces(count), batch=batch, scale=8, seed=seed, augment=augment, device=CPU)


def grey(batch: torch.Tensor) -> np.ndarray:
    return (batch * 255).round().permute(0, 2, 3, 1).numpy().astype(np.uint8)


def test_batch_k_depends_on_seed_and_k_alone() -> None:
    full = Augment(flip=True, scale=(1.0, 1.3), rot90=True)
    forward, backward = make(augment=full), make(augment=full)
    later = backward[7], backward[3]
    for k, (lr, hr) in zip((7, 3), later, strict=True):
        assert torch.equal(forward[k][0], lr)
        assert torch.equal(forward[k][1], hr)
    assert not torch.equal(make(seed=1, augment=full)[3][1], forward[3][1])


def test_an_epoch_takes_every_face_once() -> None:
    batches, own = make(), faces()
    seen = np.concatenate([grey(batches[k][1]) for k in range(5)])  # two epochs of five faces
    for epoch in (seen[:5], seen[5:]):
        found = {face.tobytes() for face in epoch}
        assert found == {face.tobytes() for face in own}


def to_batch(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)


def hard_faces(count: int, size: int) -> np.ndarray:
    """Return pictures of black and white blocks: bicubic overshoots, and PIL clips between its two passes as well."""
    blocks = np.random.default_rng(1).integers(0, 2, (count, size // 4, size // 4, 3), dtype=np.uint8) * 255
    return blocks.repeat(4, axis=1).repeat(4, axis=2)


@pytest.mark.parametrize("shrink", [degrade_batch, degrade_by_products])
@pytest.mark.parametrize("make_faces", [faces, hard_faces])
def test_lr_is_within_a_level_of_pil(
    shrink: Callable[[torch.Tensor, int], torch.Tensor], make_faces: Callable[[int, int], np.ndarray]
) -> None:
    own = make_faces(8, 128)
    lr = shrink(to_batch(own), 8)
    assert lr.dtype == torch.uint8
    for got, face in zip(lr.permute(0, 2, 3, 1).numpy().astype(float), own, strict=True):
        expected = np.asarray(Image.fromarray(face).resize((16, 16), Image.Resampling.BICUBIC), float)
        assert np.abs(got - expected).max() <= 1


@pytest.mark.parametrize("by_products", [False, True])
def test_zoom_equals_pils_resize_of_the_window(by_products: bool) -> None:
    own, cuts = hard_faces(3, 64), torch.tensor([[48, 8, 3, 0, 0], [61, 0, 2, 0, 0], [50, 14, 14, 0, 0]])
    got = cut_by_products(to_batch(own), cuts) if by_products else cut_faces(to_batch(own), [0, 1, 2], cuts)
    for one, face, (side, top, left, _, _) in zip(got.permute(0, 2, 3, 1).numpy(), own, cuts.tolist(), strict=True):
        window = Image.fromarray(face).crop((left, top, left + side, top + side))
        expected = np.asarray(window.resize((64, 64), Image.Resampling.BICUBIC), float)
        apart = np.abs(one.astype(float) - expected)
        assert apart.max() <= 2 and (apart > 1).mean() < 1e-3 and (apart > 0).mean() < 0.02


def test_other_devices_cut_the_same_faces() -> None:
    own = to_batch(faces(40, 32))
    cuts = draw_cuts(Augment(True, (1.0, 1.3), True), 32, 40, torch.Generator().manual_seed(0))
    apart = (cut_faces(own, list(range(40)), cuts).int() - cut_by_products(own, cuts).int()).abs()
    assert apart.max() <= 2 and (apart > 0).float().mean() < 0.02


def test_windows_lie_within_the_face_and_take_every_size() -> None:
    cuts = draw_cuts(Augment(True, (1.0, 1.3), True), 128, 5000, torch.Generator().manual_seed(0))
    side, top, left = cuts[:, 0], cuts[:, 1], cuts[:, 2]
    assert side.unique().tolist() == list(range(98, 129))
    for start in (top, left):
        assert (start >= 0).all() and (start + side <= 128).all()
        assert (start + side == 128).any() and (start == 0).any()
    zoom = 128 / side.double()
    assert zoom.mean() == pytest.approx(1.15, abs=0.01), "the zoom is uniform from 1 to 1.3"


@pytest.mark.parametrize("augment", [Augment(True, (1.0, 1.0), False), Augment(True, (1.0, 1.0), True)])
@pytest.mark.parametrize("by_products", [False, True])
def test_flips_and_turns_are_exact_and_all_occur(augment: Augment, by_products: bool) -> None:
    face = to_batch(faces(1, 16))
    turns = range(4) if augment.rot90 else range(1)
    expected = {
        torch.rot90(flipped, turn, (-2, -1)).contiguous().numpy().tobytes()
        for turn in turns
        for flipped in (face[0], face[0].flip(-1))
    }
    cuts = draw_cuts(augment, 16, 64, torch.Generator().manual_seed(1))
    out = cut_by_products(face.expand(64, -1, -1, -1), cuts) if by_products else cut_faces(face, [0] * 64, cuts)
    assert {one.contiguous().numpy().tobytes() for one in out} == expected


def test_batches_are_in_channels_last_memory() -> None:
    for one in make(augment=Augment(True, (1.0, 1.3), True))[0]:
        assert one.dtype == torch.float32 and one.is_contiguous(memory_format=torch.channels_last)


def test_faces_that_are_not_square() -> None:
    with pytest.raises(UserError, match="training faces are 24x32, expected squares"):
        Batches(np.zeros((2, 32, 24, 3), np.uint8), batch=1, scale=8, seed=0, augment=OFF, device=CPU)


def test_no_faces() -> None:
    with pytest.raises(UserError, match="no training faces"):
        make(count=0)
