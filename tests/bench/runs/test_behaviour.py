"""A run is bound to what its network does: harmless edits pass, others are told from it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench.core.errors import LeftAloneError
from bench.runs.behaviour import changed_since, load_network, probe_of, probe_picture
from tests.bench.runs.train_child import make_run, train_run

pytestmark = pytest.mark.usefixtures("tiny")


class Enlarged(nn.Module):
    """Enlarge by nearest, then let `change` do something to it."""

    def __init__(self, change: object = lambda x: x) -> None:
        super().__init__()
        self.change = change

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return self.change(lr.repeat_interleave(8, 2).repeat_interleave(8, 3))  # type: ignore[operator,no-any-return]


def test_the_picture_is_the_same_for_ever() -> None:
    picture = probe_picture(16)
    assert picture.shape == (1, 3, 16, 16) and probe_picture(8).shape == (1, 3, 8, 8)
    assert picture[0, :, 0, 3].tolist() == pytest.approx([0.2, 1, 0.8]) and picture[
        0, :, 15, 6
    ].tolist() == pytest.approx([0.2, 0.8, 0.8])


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x + 0.01,
        lambda x: x.roll(1, 3),
        lambda x: x.flip(1),
        lambda x: x.transpose(2, 3),
        lambda x: x.clamp(0.25, 0.75),
        lambda x: x * torch.nan,
        lambda x: x / 0,
    ],
)
def test_whatever_changes_pictures_changes_the_probe(change: object) -> None:
    plain, changed = probe_of(Enlarged(), 8), probe_of(Enlarged(change), 8)
    assert plain is not None and changed is not None and len(plain) == 48
    assert np.abs(np.subtract(plain, changed)).max() > 2e-3


def test_draws_are_seeded_and_what_cannot_be_has_no_probe() -> None:
    assert probe_of(Enlarged(lambda x: x + torch.randn_like(x)), 8) == probe_of(
        Enlarged(lambda x: x + torch.randn_like(x)), 8
    )
    counter = iter(range(1000))
    assert probe_of(Enlarged(lambda x: x + next(counter)), 8) is None
    assert probe_of(Enlarged(lambda x: x.cuda(torch.device("cuda", 99))), 8) is None


def test_edits_of_a_plugin_are_judged_by_what_they_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path)
    train_run(run)
    record = run.record()
    assert record.probe is not None and record.code is not None
    model = load_network(record, run.folder)
    other = dataclasses.replace(record, code="another")
    assert changed_since(record, model) == changed_since(other, model) == ""
    assert "no probe" in changed_since(dataclasses.replace(other, probe=None), model)
    with torch.no_grad():
        model.body[3].bias += 0.1  # type: ignore[union-attr,operator,index]
    for kept in (record, other):  # the same code may stand on other code that has changed
        assert "its output differs by up to 0.01" in changed_since(kept, model)
    monkeypatch.setattr(type(model), "forward", lambda self, lr: self.body(lr))
    with pytest.raises(
        LeftAloneError, match=r"method 'tiny' \(tiny_method\.py\): code \w+, now \w+, .*restore that code"
    ):
        load_network(record, run.folder)
    assert load_network(record, run.folder, check=False) is not None
