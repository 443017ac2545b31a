"""What the tests of rows of pictures share: a stranger's program, and what came of its pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.analysis.results import Results, read_results
from bench.core import paths

NAME = "small-short-mine"
TWO_ROWS = """
title = "Small"
kind = "ablation"
[[rows]]
method = "bicubic"
[[rows]]
label = "Theirs"
pictures = "theirs"
"""
Program = Callable[[np.ndarray], np.ndarray]  # uint8 [16, 16, 3] -> uint8 [128, 128, 3]


def pillow_lanczos(lr: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(lr).resize((128, 128), Image.Resampling.LANCZOS))


def enlarge(source: Path, target: Path, program: Program = pillow_lanczos, ending: str = "png") -> Path:
    """Do as a stranger would who has never seen this project: open each PNG, enlarge it, save it under its name."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*.png")):
        large = program(np.asarray(Image.open(path)))
        Image.fromarray(large).save(target / f"{path.stem}.{ending}")
    return target


def results(name: str = NAME) -> Results:
    return read_results(paths.results() / name)


def row_of(label: str = "Theirs") -> pd.Series:
    table = pd.read_csv(paths.reports() / NAME / "table1.csv")
    return table[table.model == label].iloc[0]


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err
