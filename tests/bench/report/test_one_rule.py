"""Every file of a report, the findings and JSON print the same interval for the same difference."""

from __future__ import annotations

import base64
import csv
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.claims import find_row, gain
from bench.analysis.factorial import measured_effects
from bench.analysis.results import FaceSet, Results, read_results
from bench.cli.main import main
from bench.report.all_claims import claims_page
from bench.report.draw import draw_report
from bench.report.first_screen import first_screen
from bench.report.forest import draw_forest
from bench.report.modules import _dots, _marked, factorial_rows
from bench.report.table import gain_cell
from tests.bench.papers.test_judge import IMAGES, PAPER, experiment, planted
from tests.bench.report.fabricate import rows_of_table_1

TESTS = ("helen", "lfw")
BASE = "Model 1"
CLAIMS = {  # those of the first screen that are differences of two rows
    "Model 8 over Model 1": ("Model 8", BASE),
    "Model 8 over SPARNet": ("Model 8", "SPARNet"),
    "Model 8 over SPARNet of as many parameters": ("Model 8", "SPARNet-wide"),
    "No difference: Model 1 less SPARNet, the same network": (BASE, "SPARNet"),
}
Told = tuple[str, str, str, str]  # test set, row, the row that it is held against, metric


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with an experiment of 40 images, two test sets and three seeds a row."""
    root = tmp_path_factory.mktemp("root")
    rows = rows_of_table_1()
    rows.insert(2, {"label": "SPARNet-wide", "method": "sparnet", "match": "msfnet-8"})
    experiment(root / "results" / "mine", planted(PAPER, own_noise=0.3), tests=TESTS, rows=rows)
    return root


@pytest.fixture(scope="module")
def results(root: Path) -> Results:
    return read_results(root / "results" / "mine")


@pytest.fixture(scope="module")
def report(root: Path, results: Results) -> Path:
    draw_report(results, root / "report")
    return root / "report"


def pairs(results: Results) -> Iterator[tuple[FaceSet, str, str, str]]:
    for test in results.test:
        for row in results.rows:
            for base in (BASE, "SPARNet-wide"):
                if row.label != base:
                    for metric in ("psnr", "ssim"):
                        yield test, row.label, base, metric


def true(results: Results) -> dict[Told, str]:
    """Return how the one rule has each difference, as a cell shows it."""
    texts = {}
    for test, row, base, metric in pairs(results):
        found = gain(results, find_row(results, row), find_row(results, base), test, metric)
        texts[test.dataset, row, base, metric] = gain_cell(found, 4 if metric == "ssim" else 3).text
    return texts


def key_of(column: str) -> tuple[str, str] | None:
    """Return against which row a column of CSV holds the others, and in which metric."""
    if column.startswith("over_") and not column.endswith(("_low", "_high")):
        return column.removeprefix("over_"), "psnr"
    return (BASE, column.removesuffix("_gain")) if column in ("psnr_gain", "ssim_gain") else None


def in_csv(report: Path) -> Iterator[tuple[str, Told, str]]:
    for path in sorted(report.glob("*.csv")):
        for line in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
            for column, value in line.items():
                if (key := key_of(column)) and value:
                    ends = [float(value), float(line[f"{column}_low"]), float(line[f"{column}_high"])]
                    decimals = 4 if key[1] == "ssim" else 3
                    mean, low, high = (f"{end:+.{decimals}f}" for end in ends)
                    yield path.name, (line["dataset"], line["model"], *key), f"{mean} [{low}, {high}]"


def in_text(report: Path) -> Iterator[tuple[str, Told, str]]:
    """Yield what Markdown and LaTeX show, by the columns of the CSV file beside them."""
    for path in sorted(report.glob("*.csv")):
        columns = next(csv.reader(path.read_text(encoding="utf-8").splitlines()))
        test = next((name for name in TESTS if path.stem.endswith(name)), "helen")
        for suffix, between in ((".md", "|"), (".tex", " & ")):
            for line in path.with_suffix(suffix).read_text(encoding="utf-8").splitlines():
                cells = [plain(cell) for cell in line.removesuffix(r" \\").strip("|").split(between)]
                shown = [cell for cell in cells if re.fullmatch(r"[+-]\d\.\d+ \[.*\]( \*)?", cell)]
                keys = [key for column in columns if (key := key_of(column)) and key[0] != cells[0]]
                if shown and keys and not path.stem.startswith("effects"):
                    assert len(shown) == len(keys), (path.name, line)
                    for key, text in zip(keys, shown, strict=True):
                        yield path.with_suffix(suffix).name, (test, cells[0], *key), text.removesuffix(" *")


def plain(cell: str) -> str:
    cell = cell.strip().replace("\\[", "[").replace("\\]", "]").replace("\\*", "*")
    return cell.replace(r"\ensuremath{-}", "-").replace("{[}", "[").replace("{]}", "]").replace("{*}", "*")


def test_tables_of_all_kinds_print_one_interval(results: Results, report: Path) -> None:
    known, seen = true(results), set[str]()
    for name, told, text in [*in_csv(report), *in_text(report)]:
        assert text == known[told], (name, told)
        seen.add(name)
    tables = ("table1", "gains-lfw", "capacity-helen")
    assert {f"{name}.{kind}" for name in tables for kind in ("csv", "md", "tex")} <= seen


def test_figures_draw_it(results: Results, report: Path) -> None:
    (test, _), base = results.test, find_row(results, BASE)
    for marked in _marked(results, base, [], test, [row for row in results.rows if row.label.startswith("Model")]):
        found = gain(results, marked.row, base, test, "psnr")
        drawn = (marked.mean, marked.low, marked.high)
        assert drawn == ((found.mean, found.low, found.high) if found else (0, 0, 0))
    drawn = {test: measured_effects(results, test, "psnr") for test in results.test}
    *series, _ = _dots(results, factorial_rows(results), drawn)
    for test, dots in zip(results.test, series, strict=True):
        file = report / f"effects-{test.dataset}.csv"
        table = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
        for name, values, line in zip(dots.names, dots.values, table, strict=True):
            assert line["effect"] == name
            assert values == tuple(float(line[key]) for key in ("psnr", "psnr_low", "psnr_high"))


def test_the_forest_plot_draws_it(results: Results) -> None:
    screen = first_screen(results)
    assert screen is not None and screen.test.dataset == "helen"
    rows = {row.label: (row.estimate, row.low, row.high) for row in screen.forest}
    for text, (row, base) in CLAIMS.items():
        found = gain(results, find_row(results, row), find_row(results, base), screen.test, "psnr")
        assert found is not None and rows.pop(text) == (found.mean, found.low, found.high)
    for place, name in enumerate(("ESEM", "PA", "FEM")):
        effect = measured_effects(results, screen.test, "psnr")[place,]
        assert rows.pop(f"Main effect of {name}") == (effect.mean, effect.low, effect.high)
    assert not rows, "every row is checked"
    axes = draw_forest(screen.forest).axes[0]
    drawn = [(bar.lines[0].get_xdata()[0], bar.lines[2][0].get_segments()[0][:, 0]) for bar in axes.containers]
    for row, (mean, ends) in zip(screen.forest, drawn, strict=True):
        assert (mean, *ends) == pytest.approx((row.estimate, row.low, row.high))


def test_findings_print_it(results: Results, report: Path) -> None:
    known, text = true(results), claims_page([results], {}).replace("\\", "")
    for test, title in (("helen", "Helen"), ("lfw", "LFW")):
        part = text[text.index(f"### mine: {title}") :]
        line = next(line for line in part.splitlines() if line.startswith("| [Model 8 over Model 1]"))
        assert f" {known[test, 'Model 8', BASE, 'psnr']} dB" in line
        effect = measured_effects(results, results.test[TESTS.index(test)], "psnr")[0,]
        line = next(line for line in part.splitlines() if line.startswith("| [Main effect of ESEM]"))
        assert gain_cell(effect, 3).text in line


def test_the_page_for_the_browser_prints_it(results: Results, report: Path) -> None:
    known = true(results)
    html = (report / "report.html").read_text(encoding="utf-8")
    packed = re.search(r'<script type="application/gzip" id="data">(.*?)</script>', html)
    assert packed is not None
    (page,) = json.loads(gzip.decompress(base64.b64decode(packed[1])))["experiments"]
    places = {row["label"]: place for place, row in enumerate(page["rows"])}
    keys = {one["name"]: one["key"] for one in page["sets"]}
    for (test, row, base, metric), text in known.items():
        scores = page["scores"][keys[test]][f"{metric}@sparnet"]
        for one, other, sign in ((row, base, 1), (base, row, -1)):
            mean, *ends = (sign * end + 0.0 for end in scores["gains"][places[one]][places[other]])
            decimals = 4 if metric == "ssim" else 3
            mean, low, high = (f"{end:+.{decimals}f}" for end in (mean, *sorted(ends)))
            assert f"{mean} [{low}, {high}]" == text, (test, one, other, metric)
    means = {line["model"]: line for line in csv.DictReader((report / "means-lfw.csv").open(encoding="utf-8"))}
    for label, place in places.items():
        shown = page["scores"][keys["lfw"]]["psnr@sparnet"]["cells"][place]["mean"]
        assert [f"{end:.6f}" for end in shown] == [
            f"{float(means[label][key]):.6f}" for key in ("psnr", "psnr_low", "psnr_high")
        ]
    for test in results.test:
        (ours, _) = page["effects"][keys[test.dataset]]["psnr"]
        found = measured_effects(results, test, "psnr").values()
        ends = [(mean, *pair) for mean, pair in zip(ours["x"], ours["customdata"], strict=True)]
        assert ends == [pytest.approx((one.mean, one.low, one.high), abs=1e-8) for one in found]


def test_json_prints_it(
    root: Path, results: Results, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FSR_ROOT", str(root))
    capsys.readouterr()
    rows = [row.label for row in results.rows if row.label != BASE][:3]  # of each a second of planning
    chosen = [word for label in rows for word in ("--row", label)]
    assert main(["power", "mine", "--baseline", BASE, "--data", "lfw", "--gain", "0.3", *chosen, "--json"]) == 0
    told = {one["row"]: one["difference"] for one in json.loads(capsys.readouterr().out)["comparisons"]}
    for label, one in told.items():
        found = gain(results, find_row(results, label), find_row(results, BASE), results.test[1], "psnr")
        assert found is not None and one == {"mean": found.mean, "low": found.low, "high": found.high}
    assert list(told) == rows


def test_claims_print_it(
    root: Path, results: Results, report: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The JSON of `fsr claims`, its table, and the experiment's own page."""
    monkeypatch.setenv("FSR_ROOT", str(root))
    assert main(["claims", "mine", "--json"]) == 0
    known = {(one["claim"], one["test"]): one for one in json.loads(capsys.readouterr().out)["claims"]}
    assert main(["claims", "mine"]) == 0
    printed, index = capsys.readouterr().out, (report / "index.md").read_text(encoding="utf-8").replace("\\", "")
    for test in results.test:
        for text, (row, base) in CLAIMS.items():
            found = gain(results, find_row(results, row), find_row(results, base), test, "psnr")
            one = known[text, test.dataset]
            assert found is not None and (one["estimate"], one["low"], one["high"]) == (
                found.mean,
                found.low,
                found.high,
            )
            shown = f" {gain_cell(found, 3).text} dB "
            assert (shown in printed and shown in index) or test.dataset != "helen"
        effects = measured_effects(results, test, "psnr")
        for place, name in enumerate(("ESEM", "PA", "FEM")):
            one = known[f"Main effect of {name}", test.dataset]
            assert (one["low"], one["high"]) == (effects[place,].low, effects[place,].high)
            assert one["probability"] == effects[place,].above


def test_two_scores_are_compared_by_the_rule_for_one_training(
    tmp_path: Path, results: Results, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `fsr compare` prints is narrower than the table's interval, for it knows nothing of seeds, and says so."""
    files: list[str] = []
    for label in ("Model 8", BASE):
        run = find_row(results, label).runs[0]
        values = run.values(results.test[0], "sparnet", "psnr")
        scores = [{"image": i, "metric": "psnr", "protocol": "sparnet", "value": values[i]} for i in IMAGES]
        about: dict[str, Any] = {"protocol": "sparnet", "dataset": "helen", "split": "test", "images": scores}
        path = tmp_path / f"{label}.json"
        path.write_text(json.dumps(about))
        files.append(str(path))
    assert main(["compare", *files, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["metrics"]
    found = gain(results, find_row(results, "Model 8"), find_row(results, BASE), results.test[0], "psnr")
    assert found is not None and found.high - found.low > row["ci95"][1] - row["ci95"][0]
    assert main(["compare", *files]) == 0 and "not about other seeds of either" in capsys.readouterr().out
