"""What the page is made of: vendored scripts as npm has them, a short script of our own, nothing from the network."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.analysis.results import read_results
from bench.core.errors import UserError
from bench.data.store import FaceRow, write_store
from bench.report.interactive.assets import FOLDER, VENDOR, Vendored, libraries, read_vendored, vendor
from bench.report.interactive.forest import WIDTH, forest
from bench.report.interactive.gather import gather
from bench.report.interactive.pictures import _uri
from bench.report.interactive.record import Claim
from bench.report.interactive.writer import browser_page, page_of_all
from tests.bench.report.fabricate import FINGERPRINT, change, fabricate, rows_of_table_1, run_name


def data_of(page: bytes) -> dict[str, object]:
    """Return the records that a page holds."""
    packed = re.search(rb'<script type="application/gzip" id="data">(.*?)</script>', page)
    assert packed is not None
    return json.loads(gzip.decompress(base64.b64decode(packed[1])))


def test_vendored_scripts_are_what_npm_has_with_their_licences() -> None:
    listed = dataclasses.asdict(vendor()).values()
    kept = {path.name for path in VENDOR.iterdir()}
    assert kept == {"vendor.toml", "LICENSE-plotly", "LICENSE-img-comparison-slider", *(one["file"] for one in listed)}
    for one in (vendor().plotly, vendor().slider):
        assert one.licence == "MIT" and len(read_vendored(one)) > 10_000
    with pytest.raises(UserError, match="not plotly"):
        read_vendored(Vendored(**{**dataclasses.asdict(vendor().plotly), "sha256": "0" * 64}))


def test_the_own_script_is_short() -> None:
    """It ties libraries together; what takes more belongs into Python or a library."""
    lines = (FOLDER / "page.js").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 200 and max(map(len, lines)) <= 120


def test_a_page_asks_for_nothing_from_the_network(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "mine", rows=rows_of_table_1()[:4], seeds=(0, 1))
    page = browser_page(read_results(folder))
    assert page == browser_page(read_results(folder)), "the same results give the same bytes"
    assert len(page) < 2_000_000
    own = re.sub(rb'<script type="application/gzip".*?</script>', b"", page, flags=re.DOTALL)
    assert not re.search(rb"""(?:src|href)=["'](?!#|data:|\$\{)""", own) and b"://" not in own


def test_labels_cannot_break_the_page(tmp_path: Path) -> None:
    rows = [{"label": "</script><b>A & B", "method": "bicubic"}, *rows_of_table_1()[1:3]]
    page = browser_page(read_results(fabricate(tmp_path / "mine", rows=rows)))
    assert b"</script><b>A" not in page and b"&lt;/script&gt;&lt;b&gt;A &amp; B" in page


def test_rows_without_scores_are_shown_as_such(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "mine", rows=rows_of_table_1()[:3])
    change(folder / run_name("msfnet-1") / "run.json", status="failed", error="out of memory")
    (experiment,) = gather("Mine", [read_results(folder)]).experiments
    assert [row.status for row in experiment.rows] == ["finished", "finished", "failed"]
    assert "out of memory" in experiment.rows[2].about
    (scores, *_) = experiment.scores[experiment.seen].values()
    assert scores.cells[2] is None and scores.gains[2] == (None, None, None)
    assert b"Nothing is scored yet" not in browser_page(read_results(folder))


def test_an_experiment_without_any_run(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "mine", rows=rows_of_table_1()[:3], faces=0)
    for path in folder.glob("*/run.json"):
        path.unlink()
    page = browser_page(read_results(folder))
    assert b"Nothing is scored yet" in page and b"No claim of a paper can be judged" in page


def test_experiments_together_keep_differences_within_each(tmp_path: Path) -> None:
    made = [read_results(fabricate(tmp_path / name, rows=rows_of_table_1()[:3])) for name in ("one", "two")]
    one, two, both = gather("Both", made).experiments
    assert [row.label for row in both.rows[2:4]] == ["Model 1 (one)", "Bicubic (two)"]
    scores = both.scores[both.seen]["psnr@sparnet"]
    assert scores.cells == (one.scores[one.seen]["psnr@sparnet"].cells * 2)
    assert scores.gains[1][0] == one.scores[one.seen]["psnr@sparnet"].gains[1][0] and scores.gains[4][0] is None
    assert scores.gains[4][3] == two.scores[two.seen]["psnr@sparnet"].gains[1][0]
    assert b"all experiments" in page_of_all(made)


def test_pictures_are_as_far_off_as_the_page_says() -> None:
    kept = Path(__file__).parents[4] / "results" / "reference" / "comparison-cpu-celeba"
    for pattern in ("samples/*_hr.webp", "*/samples/*.webp"):
        off = []
        for path in sorted(kept.glob(pattern)):
            pixels = np.asarray(Image.open(path).convert("RGB"))
            shown = Image.open(io.BytesIO(base64.b64decode(_uri(pixels).partition(",")[2]))).convert("RGB")
            off.append(np.abs(np.asarray(shown).astype(int) - pixels).mean())
        assert 2 < np.mean(off) < 3


def test_libraries_are_packed_to_less_than_half() -> None:
    plain = {name: gzip.decompress(base64.b64decode(text)) for name, text in libraries().items()}
    assert sum(map(len, libraries().values())) < sum(map(len, plain.values())) / 2


def test_the_forest_holds_zero_every_interval_and_every_paper() -> None:
    def claim(unit: str, paper: float | None, band: tuple[float, float] | None) -> Claim:
        return Claim("a", "holds", "yes", "", "", unit, (0.1, -0.2, 0.3), paper, band)

    (first, second) = (group.lines[0] for group in forest([claim("dB", 0.9, (0.8, 1.0)), claim("", None, None)]))
    assert 0 < first.low < first.zero < first.mean < first.high
    assert first.paper is not None and first.band is not None
    assert first.high < first.band[0] < first.paper < first.band[1] < WIDTH
    assert second.paper is None and second.band is None and second.high > first.high


def test_faces_of_the_store_are_shown_where_it_is_the_one_that_was_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    names = [f"face-{i}" for i in range(5)]
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (5, 128, 128, 3), dtype=np.uint8)
    store = write_store(
        tmp_path / "datasets" / "prepared" / "mine" / "test", list(map(FaceRow, names)), enumerate(pixels), {}
    )
    folder = fabricate(tmp_path / "own", rows=rows_of_table_1()[:2], images=names, tests=("mine",), faces=2)
    (experiment,) = gather("Own", [read_results(folder)]).experiments
    assert sorted(experiment.faces[experiment.seen]) == names[:2], "those that are kept: the store is another"
    known = json.loads((folder / "experiment.json").read_text())["test"][0]
    change(folder / "experiment.json", test=[known | {"fingerprint": store.fingerprint}])
    for path in folder.glob("*/scores/*.csv"):
        path.rename(path.with_name(path.name.replace(FINGERPRINT[:12], store.fingerprint[:12])))
    (experiment,) = gather("Own", [read_results(folder)]).experiments
    faces = experiment.faces[experiment.seen]
    assert sorted(faces) == names and all(face.hr and face.lr for face in faces.values())
    assert {name: sorted(face.sr) for name, face in faces.items()} == {
        n: ["0", "1"] if n in names[:2] else [] for n in names
    }
