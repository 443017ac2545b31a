"""Networks with their authors' names filled by a formula: what the authors' own networks make of a given picture.

pins/make_checkpoint.py writes such a checkpoint, pins/expected.json has what the authors' networks gave; neither was
made by code of this project.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.core.errors import UserError
from bench.models import registry
from bench.models.authors import load_authors
from tests.methods.pins.make_checkpoint import picture, tensors

PINS = Path(__file__).parent / "pins"
EXPECTED: dict[str, Any] = json.loads((PINS / "expected.json").read_text(encoding="utf-8"))
METHODS = {  # by the name of its table; tensors of the file that our network leaves out
    "DIC": ("dic", 0),
    "SPARNet": ("sparnet", 0),
    "SPARNet-3D": ("sparnet-3d", 0),
    "SPARNet-Light": ("sparnet-light", 0),
    "KDFSRNet": ("kdfsrnet", 4),
    "KDFSRNet-net1": ("kdfsrnet", 4),
    "WIPA": ("wipa", 0),
    "SFMNet": ("sfmnet", 14 * 6),  # an attention in each fusion that is never run
    "WFEN": ("wfen", 9),  # Haar's fixed filters
    "CTCNet": ("ctcnet", 198),  # 174 parameters and the statistics of 8 BatchNorms
    "SISN": ("sisn", 110),
}
# SFMNet's authors' own network moves by 2.4e-5 with the number of threads.
TOLERANCE = {"SFMNet": 1e-4}


def checkpoint(pin: str, folder: Path) -> Path:
    """Write the checkpoint of `pin` as its authors' code would have."""
    path = folder / f"{pin}.pth"
    subprocess.run([sys.executable, PINS / "make_checkpoint.py", pin, path], check=True)
    return path


def given_picture() -> Tensor:
    return torch.from_numpy(picture()).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("pin", METHODS)
def test_it_gives_what_the_authors_network_gives(pin: str, tmp_path: Path) -> None:
    method, unused = METHODS[pin]
    model, about = load_authors(method, checkpoint(pin, tmp_path))
    expected, threads = EXPECTED[pin], torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            sr = model(given_picture())[0]
    finally:
        torch.set_num_threads(threads)
    assert (about.tensors, about.unused) == (len(tensors(pin)), unused)
    near = functools.partial(pytest.approx, rel=0, abs=TOLERANCE.get(pin, 1e-5))
    for row, column, *rgb in expected["pixels"]:
        assert sr[:, row, column].tolist() == near(rgb), (row, column)
    for name, value in (("mean", sr.mean()), ("std", sr.std()), ("min", sr.min()), ("max", sr.max())):
        assert float(value) == near(expected[name]), name


@pytest.mark.parametrize("pin", METHODS)
def test_its_names_are_told_from_those_of_other_networks(pin: str, tmp_path: Path) -> None:
    method, _ = METHODS[pin]
    path = tmp_path / "theirs.pth"
    torch.save(tensors(pin), path)
    with pytest.raises(UserError, match="no checkpoint of 'msfnet-8'") as error:
        load_authors("msfnet-8", path)
    count = len(tensors(pin))
    assert f"looks like {registry.get(method).title}'s checkpoint: {count} of {count} names" in str(error.value)
