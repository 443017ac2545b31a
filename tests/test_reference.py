"""What is committed under results/reference and reports/reference: small, of nobody, and what it says it is."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.analysis.results import read_results, read_run
from bench.core.files import LOCK
from bench.report import findings
from bench.report.findings import report_reference
from bench.report.interactive.writer import page_of_all
from bench.runs import networks
from bench.runs.behaviour import changed_since
from bench.runs.evaluate import Enlarger, score_pictures
from bench.runs.records import read_run_record
from bench.runs.soundness import LIMIT
from bench.runs.verify import worst_outputs

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results" / "reference"
PAGE_OF_ALL = Path("reports", "reference", "index.html")  # too large to keep: drawn where it is wanted
NETWORKS = sorted({path.parent for path in REFERENCE.glob("*/*/weights*.safetensors")})


read_once = functools.cache(read_results)  # some experiments have half a million scores


def test_the_tree_is_small_enough_to_travel() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [ROOT / name for name in listed.split("\0") if name]
    assert sum(path.stat().st_size for path in files if path.exists()) < 20_000_000
    assert all(path.stat().st_size < 16_000_000 for path in REFERENCE.rglob("weights*.safetensors"))


def test_reports_are_what_the_results_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    monkeypatch.setattr(findings, "page_of_all", lambda experiments: b"")  # a test of its own
    drawn = {path.relative_to(tmp_path): path for path in report_reference()}
    del drawn[PAGE_OF_ALL]
    kept = [path for path in (ROOT / "reports" / "reference").rglob("*") if path.is_file() and path.name != LOCK]
    kept = [path for path in kept if path.relative_to(ROOT) != PAGE_OF_ALL]
    assert sorted(drawn) == sorted(path.relative_to(ROOT) for path in kept)
    for name, path in drawn.items():
        if name.suffix in (".md", ".tex", ".csv"):
            assert path.read_bytes() == (ROOT / name).read_bytes(), name


@pytest.mark.slow
def test_the_page_of_all_experiments_is_small_enough_to_open() -> None:
    experiments = findings.with_kin([read_once(path.parent) for path in sorted(REFERENCE.glob("*/experiment.json"))])
    assert 1_000_000 < len(page_of_all(experiments)) < 6_000_000


def test_committed_runs_keep_their_names() -> None:
    """The id of a run is a hash of its config: it must come out of the stored config for ever."""
    records = [read_run_record(path.parent) for path in REFERENCE.glob("*/*/run.json")]
    assert len(records) == 69
    for record in records:
        assert record is not None
        assert (record.config.id, record.config.name) == (record.id, record.name)
    names = {path.parent.name for path in REFERENCE.glob("*/*/run.json")}
    assert names == {record.name for record in records if record is not None}


def test_the_kept_networks_are_at_hand_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    kept = networks.archived_networks()
    assert sorted(network.folder for network in kept) == NETWORKS
    assert kept[0].label == "Model 8", "the best of them"


def test_pictures_show_default_faces_alone() -> None:
    """The generator names its faces after their seeds; photographs are named by their files."""
    pictures = list(REFERENCE.rglob("*.webp"))
    assert pictures and all(path.name.startswith("seed-") for path in pictures)
    for path in REFERENCE.glob("*/experiment.json"):
        results = read_once(path.parent)
        assert results.pictured.dataset == "synthfaces"
        assert all(name.startswith("seed-") for name in results.samples)


def test_pictures_are_of_first_runs_in_the_levels_that_grids_show() -> None:
    first = {row.runs[0].name for path in REFERENCE.glob("*/experiment.json") for row in read_once(path.parent).rows}
    pictures = list(REFERENCE.glob("*/*/samples/*.webp"))
    assert {path.parent.parent.name for path in pictures} <= first
    assert not any((np.asarray(Image.open(path)) % 3).any() for path in pictures)


@pytest.mark.parametrize("folder", NETWORKS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_kept_weights_give_the_kept_scores(folder: Path) -> None:
    results = read_once(folder.parent)
    network = networks.open_run(folder)
    device = torch.device("cpu")
    hr, lr = (
        np.stack(
            [np.asarray(Image.open(folder.parent / "samples" / f"{name}_{kind}.webp")) for name in results.samples]
        )
        for kind in ("hr", "lr")
    )
    assert changed_since(networks.run_record(folder), network.load(device)) == "" != networks.run_record(folder).probe
    (sr,) = Enlarger(network.load(device), device, "")(lr)
    found = score_pictures(sr, hr, results.protocol)
    run = read_run(folder)
    for metric, tolerance in (("psnr", 0.01), ("ssim", 0.001)):
        kept = run.values(results.pictured, results.protocol, metric)
        assert found[metric] == pytest.approx([kept[name] for name in results.samples], abs=tolerance)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "research only" in card and f"{network.psnr:.3f}" in card


@pytest.mark.parametrize("folder", NETWORKS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_kept_networks_are_sound(folder: Path) -> None:
    record = networks.run_record(folder)
    with Image.open(min(folder.parent.glob("samples/*_hr.webp"))) as picture:
        faces = np.asarray(picture.convert("RGB"))[None]
    model = networks.open_run(folder).load(torch.device("cpu"))
    assert float(worst_outputs(model, record, faces).max()) < LIMIT
