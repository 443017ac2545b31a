"""README and the pages it leads to keep their word: its example is a method, its numbers those of the reports."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from bench.analysis.claims import gain
from bench.analysis.failures import failures_of
from bench.analysis.results import read_results
from bench.models import registry
from bench.papers.paper import MARGINS
from bench.report.face_choice import face_grid
from bench.report.hero import hero_wanted
from bench.runs.job import load_job

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
METHODS, METRICS = ((ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("methods", "metrics"))


def test_the_example_is_a_method_of_twenty_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = README.split("```python\n")[1].split("```")[0]
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 20
    (tmp_path / "mine.py").write_text(code)
    monkeypatch.setattr(registry, "_plugins", [])
    monkeypatch.setattr(registry, "_catalogue", None)
    registry.add_plugin(tmp_path / "mine.py")
    assert registry.build("mine")(torch.rand(2, 3, 16, 16)).shape == (2, 3, 128, 128)


def test_the_picture_shows_what_it_says() -> None:
    results = read_results(ROOT / "results" / "reference" / "photos-cpu-celeba")
    assert f"{results.iterations:,} iterations of {results.batch} photos" in README and results.profile == "cpu"
    grid = face_grid(results, hero_wanted(results))
    shown = [column.title for column in grid.columns[1:-1]]
    assert f"low resolution, {', '.join(shown)}, original](reports/reference/faces.webp)" in README
    assert grid.names == list(results.samples[:5]) and "the first 5 of the set, chosen by no result" in grid.caption
    assert (ROOT / "reports" / "reference" / "faces.webp").stat().st_size < 200_000


def test_the_claims_on_photographs_are_those_of_the_findings() -> None:
    page = (ROOT / "reports" / "reference" / "claims.md").read_text(encoding="utf-8")
    page = page[page.index("### photos-cpu-celeba: Helen") : page.index("### photos-cpu-celeba: LFW")]
    found = {}
    for line in (line for line in page.splitlines() if line.startswith("| [")):
        claim, paper, measured, verdict, chance, _ = (cell.strip() for cell in line.strip("|").split("|"))
        found[claim[1 : claim.index("]")]] = [paper, measured.replace("\\", ""), verdict.split("**")[-2:][0], chance]
    claims = README[README.index("| Claim | Paper |") :].split("\n\n")[0].splitlines()[2:]
    assert len(claims) == 6
    assert f"within {MARGINS['psnr']:g} dB of the paper's value" in README
    for line in claims:
        claim, *told = (cell.strip() for cell in line.strip("|").split("|"))
        assert told == found[claim]


def test_what_it_says_of_other_papers_methods_is_set_and_measured() -> None:
    quick = load_job("comparison")
    training, own = quick.profile.training, {row.method: dict(row.options) for row in quick.experiment.rows}
    assert f"{training.iterations} iterations of {training.batch} faces, an eighth" in METHODS
    assert quick.profile.options["width"] == 1 / 8 and own["kdfsrnet"] == {"width": 1 / 4}
    assert own["dic"] == {"steps": 2, "groups": 2}
    results = read_results(ROOT / "results" / "reference" / "comparison-cpu-celeba")
    assert (results.profile, results.iterations, results.batch) == ("cpu", 500, 8)
    photos = [test for test in results.test if test.dataset in ("celeba", "helen")]
    base, rows = results.plain("bicubic"), {row.method: row for row in results.rows}
    for test in photos:
        over = {name: gain(results, rows[name], base, test, "psnr") for name in ("wipa", "wfen")}
        assert over["wipa"] and over["wipa"].high < 0
        assert over["wfen"] and abs(over["wfen"].mean) < 0.1
    assert len(photos) == 2


def test_the_runs_that_it_says_have_weights_are_those_that_have_some() -> None:
    named = set(re.findall(r"results/reference/[\w-]+/[\w-]+-s\d+-[0-9a-f]{12}", METRICS))
    kept = {path.parent for path in (ROOT / "results" / "reference").glob("*/*/weights*.safetensors")}
    assert named == {path.relative_to(ROOT).as_posix() for path in kept} and len(kept) == 2


def test_what_turning_costs_is_what_was_measured() -> None:
    page = (ROOT / "reports" / "reference" / "claims.md").read_text(encoding="utf-8")
    page = page[page.index("### choices-cpu-celeba: CelebA") : page.index("### Runs of choices-cpu-celeba")]
    cost = sorted(map(float, re.findall(r"\(turned\): gain over [^|]*\|[^|]*\| -(\d\.\d+) ", page)))
    assert len(cost) == 6, "two networks on three test sets"
    assert f"costs {cost[0]:.2f} to {cost[-1]:.2f} dB" in " ".join(README.split())


def test_the_faces_that_runs_break_down_on_are_counted() -> None:
    results = read_results(ROOT / "results" / "reference" / "photos-cpu-celeba")
    losses = {
        (test.dataset, failure.face, run.name): failure.loss
        for test in (test for test in results.test if test.truth)
        for run in (run for row in results.rows for run in row.runs)
        for failure in failures_of(results, run, test)
    }
    faces, runs = {key[:2] for key in losses}, {name for *_, name in losses}
    verb = "run is" if len(runs) == 1 else "runs are"
    told = f"on {len(faces)} faces of CelebA's, {len(runs)} {verb} {min(losses.values()):.1f} to "
    assert f"{told}{max(losses.values()):.1f} dB worse than Bicubic" in " ".join(README.split())
