from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from bench.config import Augment
from bench.data.batches import Batches, _resize_matrix, augment_batch, degrade_batch
from bench.errors import UserError

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


def test_lr_is_within_a_level_of_pil() -> None:
    own = torch.from_numpy(faces(8, 128)).permute(0, 3, 1, 2).float()
    lr = degrade_batch(own, 8).permute(0, 2, 3, 1).numpy()
    for got, face in zip(lr, faces(8, 128), strict=True):
        expected = np.asarray(Image.fromarray(face).resize((16, 16), Image.Resampling.BICUBIC), float)
        assert np.abs(got - expected).max() <= 1


def test_zoom_equals_pils_resize_of_the_window() -> None:
    face = faces(1, 64)[0] // 4 + 90  # away from 0 and 255: PIL clips between its two passes as well
    start, window = torch.tensor([8.0], dtype=torch.float64), torch.tensor([48.0], dtype=torch.float64)
    matrix = _resize_matrix(start, window, torch.tensor([False]), 64)[0].numpy()
    got = np.einsum("ij,jkc,lk->ilc", matrix, face.astype(float), matrix)
    expected = Image.fromarray(face).resize((64, 64), Image.Resampling.BICUBIC, box=(8, 8, 56, 56))
    assert np.abs(got.clip(0, 255).round() - np.asarray(expected, float)).max() <= 1


@pytest.mark.parametrize("augment", [Augment(True, (1.0, 1.0), False), Augment(True, (1.0, 1.0), True)])
def test_flips_and_turns_are_exact_and_all_occur(augment: Augment) -> None:
    face = torch.from_numpy(faces(1, 16)).permute(0, 3, 1, 2).float()
    turns = range(4) if augment.rot90 else range(1)
    expected = {
        torch.rot90(flipped, turn, (-2, -1)).contiguous().numpy().tobytes()
        for turn in turns
        for flipped in (face[0], face[0].flip(-1))
    }
    out = augment_batch(face.expand(64, -1, -1, -1), augment, torch.Generator().manual_seed(1))
    assert {one.contiguous().numpy().tobytes() for one in out} == expected


def test_switched_off_it_changes_nothing() -> None:
    face = torch.from_numpy(faces(3, 16)).permute(0, 3, 1, 2).float()
    assert torch.equal(augment_batch(face, OFF, torch.Generator()), face)


def test_no_faces() -> None:
    with pytest.raises(UserError, match="no training faces"):
        make(count=0)
