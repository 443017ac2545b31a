"""Results of layout 1 are refused with the command that migrates them, and say the same once they are migrated."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import shutil
from pathlib import Path

import pytest

from bench.analysis.results import read_results
from bench.cli.main import main
from bench.core.errors import UserError
from bench.core.files import read_json, write_json
from bench.runs.migrate import migrate
from bench.runs.scores import ScoreSheet, read_scores, read_sheet, write_sheet
from tests.bench.report.fabricate import change, fabricate, read_score_rows, rows_of_table_1

COLUMNS = ("run", "method", "seed", "dataset", "fingerprint", "image", "metric", "protocol", "value")


def make_old(folder: Path, packed: bool) -> None:
    """Turn a run's folder into what layout 1 had."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="x", lineterminator="\n")
    writer.writeheader()
    writer.writerows(read_score_rows(folder))
    content = out.getvalue().encode()
    path = folder / ("scores.csv.gz" if packed else "scores.csv")
    path.write_bytes(gzip.compress(content) if packed else content)
    shutil.rmtree(folder / "scores")
    change(folder / "run.json", layout=1)


def test_older_results_say_the_same_when_they_are_migrated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = fabricate(tmp_path / "mine", rows=rows_of_table_1()[:3], tests=("a-b", "c"), images=("x", "y"))
    before = read_results(folder)
    runs = [path.parent for path in folder.glob("*/run.json")]
    for place, run in enumerate(runs):
        make_old(run, packed=place == 0)
    with pytest.raises(UserError, match=r"results layout 1, this version reads layout 2: fsr migrate .*"):
        read_results(folder)
    change(folder / "experiment.json", layout=1, iterations=200, batch=8)
    assert main(["migrate", str(tmp_path), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["migrated"]) == 1 + len(runs)
    assert repr(read_results(folder)) == repr(before), "a row equals itself alone, so by all that is in it"
    assert not list(folder.rglob("scores.csv*")) and len(list(folder.rglob("*.csv.xz"))) == 2
    assert migrate(tmp_path) == [], "nothing is left to do"


def test_what_cannot_be_migrated_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no results there"):
        migrate(tmp_path)
    folder = fabricate(tmp_path / "mine", rows=rows_of_table_1()[:1], images=("x",))
    (run,) = (path.parent for path in folder.glob("*/run.json"))
    make_old(run, packed=False)
    text = (run / "scores.csv").read_text()
    for damaged in (text[:-30], text.replace("metric", "metrik"), text.replace(",psnr,", ',p"s,"')):
        (run / "scores.csv").write_text(damaged)
        with pytest.raises(UserError, match=r"scores\.csv: (damaged, expected|not valid CSV)"):
            migrate(folder)
        assert read_json(run / "run.json")["layout"] == 1, "it can be called again"
    write_json(run / "run.json", {"layout": 7})
    with pytest.raises(UserError, match="layout 7, expected 1 or 2"):
        migrate(folder)


def test_scores_read_as_they_were_written(tmp_path: Path) -> None:
    values = (math.pi, math.inf, math.nan, None, 26.0, 1e-7)
    images = ("a", "b,c", 'd"e', "f", "g", "h")
    for packed in (False, True):
        sheet = ScoreSheet("some-set", "0123456789ab", images, {"psnr@sparnet": values})
        path = write_sheet(tmp_path, sheet, packed)
        again = read_sheet(path)
        assert (again.dataset, again.fingerprint, again.images) == ("some-set", "0123456789ab", images)
        assert repr(again.columns) == repr(sheet.columns)
        assert list(again.values("psnr", "sparnet")) == ["a", "b,c", 'd"e', "g", "h"]
    assert len(read_scores(tmp_path)) == 1


def test_metrics_scored_later_become_columns() -> None:
    first = ScoreSheet("a", "0" * 12, ("x", "y"), {"psnr@p": (1.0, 2.0), "ssim@p": (0.1, 0.2)})
    later = ScoreSheet("a", "0" * 12, ("x", "y"), {"lpips@p": (3.0, 4.0), "psnr@p": (5.0, 6.0)})
    merged = first.merged(later)
    assert dict(merged.columns) == {"psnr@p": (5.0, 6.0), "ssim@p": (0.1, 0.2), "lpips@p": (3.0, 4.0)}
    assert dict(first.merged(ScoreSheet("a", "0" * 12, ("x",), {"lpips@p": (3.0,)})).columns) == {"lpips@p": (3.0,)}
