"""Styles: one a method wherever it is, told apart without colours, and safe for the colour-blind."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from bench.analysis.results import read_results
from bench.core.names import listed
from bench.models import registry
from bench.report.style import MARKERS, PALETTE, Style, _listed, row_style, style_of
from bench.runs.experiment import EXPERIMENTS
from bench.runs.job import load_job
from tests.bench.report.fabricate import fabricate, rows_of_table_1

# Simulated dichromacy at full severity, linear RGB to linear RGB (Machado, Oliveira and Fernandes 2009, table 1).
DICHROMACY = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


def linear(color: str) -> np.ndarray:
    values = np.array([int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Return CIE L*a*b* of linear sRGB."""
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.array(matrix) @ np.clip(rgb, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = [value ** (1 / 3) if value > (6 / 29) ** 3 else value / (3 * (6 / 29) ** 2) + 4 / 29 for value in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_a_method_looks_the_same_in_every_experiment(tmp_path: Path) -> None:
    rows = rows_of_table_1()
    whole = read_results(fabricate(tmp_path / "whole", rows=rows))
    part = read_results(fabricate(tmp_path / "part", rows=rows[:0:-2]))
    of_part = {row.method: row_style(part, row) for row in part.rows}
    assert len(of_part) == 5
    assert all(row_style(whole, row) == of_part[row.method] for row in whole.rows if row.method in of_part)


def test_what_is_listed_is_a_method() -> None:
    assert set(_listed().methods) <= {*registry.names()}


@pytest.mark.parametrize("name", [path.stem for path in listed(EXPERIMENTS, "*.toml")])
def test_markers_alone_tell_the_methods_of_an_experiment_apart(name: str) -> None:
    methods = list(dict.fromkeys(row.method for row in load_job(name).experiment.rows))
    styles = [style_of(method) for method in methods]
    assert len({style.marker for style in styles}) == min(len(methods), len(MARKERS))
    assert len({(style.color, style.dashes) for style in styles}) == len(methods)


def test_a_row_that_changes_a_method_has_a_style_of_its_own(tmp_path: Path) -> None:
    rows = rows_of_table_1()
    rows.insert(2, {"label": "SPARNet-wide", "method": "sparnet", "match": "msfnet-8"})
    rows.append({"label": "Model 8, odd", "method": "msfnet-8", "options": {"pa_position": "mid"}})
    results = read_results(fabricate(tmp_path, rows=rows))
    found = {row.label: row_style(results, row) for row in results.rows}
    assert found["SPARNet"] == style_of("sparnet") != found["SPARNet-wide"]
    assert found["Model 8"] == style_of("msfnet-8") != found["Model 8, odd"]


def test_a_method_of_somebodys_own_has_a_style_that_stays() -> None:
    assert style_of("mine") == style_of("mine") == Style("#E69F00", "triangle-down", "dash")
    many = {style_of(f"mine-{number}") for number in range(100)}
    assert len(many) > 85 and {style.color for style in many} == {*PALETTE.values()}


@pytest.mark.parametrize("seen", DICHROMACY)
def test_colours_stay_apart_for_the_colour_blind(seen: str) -> None:
    matrix = np.array(DICHROMACY[seen])
    colors = {name: lab(matrix @ linear(color)) for name, color in PALETTE.items()}
    apart = {(a, b): float(np.linalg.norm(colors[a] - colors[b])) for a, b in itertools.combinations(sorted(colors), 2)}
    assert min(apart.values()) > 10, min(apart, key=apart.__getitem__)


def test_black_is_white_on_a_dark_page() -> None:
    style = style_of("msfnet-1")
    assert (style.color, style.on_dark) == ("#000000", "#FFFFFF")
    assert dataclasses.replace(style, color="#0072B2").on_dark == "#0072B2"
