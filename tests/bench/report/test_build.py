"""A whole report: redrawn to the same bytes, nothing claimed that is not there, errors that name the file."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.core.errors import UserError
from bench.core.files import LOCK, read_json, write_bytes
from bench.core.locks import lock
from bench.core.stop import Interrupted
from bench.report.build import Report, build_report
from bench.report.folder import STAMP, replace_files
from tests.bench.report.fabricate import FINGERPRINT, change, fabricate, rows_of_table_1, run_name

FIRST = {"table1.md", "table1.tex", "table1.csv", "table1.html", "fig6.png", "fig6.pdf", "faces.webp"}
KINDS = ("md", "tex", "csv", "html")
PAGES = {"metrics.md", "image-by-image.md", "factorial.md", "capacity-control.md", "sensitivity.md"}
_SENSITIVITY = [f"sensitivity-{metric}{gain}" for metric in ("psnr", "ssim") for gain in ("", "-gain")]
TABLES = {
    f"{name}.{ending}"
    for name in ("means", "gains", "images", "effects", "capacity", *_SENSITIVITY)
    for ending in KINDS
}
PICTURES = {f"effects.{ending}" for ending in ("png", "pdf")}  # made-up networks are of one size
FILES = {"index.md", "report.html"} | FIRST | PAGES | TABLES | PICTURES
RUN = run_name("msfnet-8")
SCORES = f"scores/synthfaces-{FINGERPRINT[:12]}.csv"


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in (LOCK, STAMP)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def links(text: str) -> set[str]:
    return {target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target}


def few_rows() -> list[dict[str, object]]:
    return [row for row in rows_of_table_1() if row["method"] in ("bicubic", "msfnet-8")]


def test_the_same_results_give_the_same_bytes_without_torch(tmp_path: Path) -> None:
    rows = [
        {"label": "Bicubic", "method": "bicubic"},
        {"label": "SPARNet", "method": "sparnet"},
        {"label": "Model 1", "method": "msfnet-1", "modules": {"FEM": False}},
        {"label": "Model 8", "method": "msfnet-8", "modules": {"FEM": True}},
    ]
    folder = fabricate(
        tmp_path / "results", rows=rows, seeds=(0, 1), images=("a", "b"), faces=1, protocols=("sparnet", "rgb")
    )
    (folder / RUN / "run.json").unlink()
    change(folder / run_name("sparnet", 1) / "run.json", status="failed", error="ran out of <memory>")
    before = contents(folder)
    written = build_report(folder, tmp_path / "first").files
    there = contents(tmp_path / "first")
    assert {path.name for path in written} == set(there) == FILES
    code = (
        "import sys; from pathlib import Path; from bench.report.build import build_report\n"
        f"build_report(Path({str(folder)!r}), Path({str(tmp_path / 'second')!r}))\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"}
    )
    assert there == contents(tmp_path / "second")
    assert contents(folder) == before, "the results are only read"

    pages = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "first").glob("*.md")}
    linked = {name: links(text) for name, text in pages.items()}
    assert set().union(*linked.values()) == set(there), "all that is there is linked, and no more"
    assert linked["index.md"] == FIRST | PAGES | {"report.html"}
    index = pages["index.md"]
    runs = [name for row in read_json(folder / "experiment.json")["rows"] for name in row["runs"]]
    assert len(runs) == 7 and all(f"`{name}`" in index for name in runs)
    assert r"ran out of \<memory>" in index and "Model 8 [" in index and pages["table1.md"].strip() in index


def test_a_report_that_is_up_to_date_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = fabricate(tmp_path / "results", rows=few_rows(), images=("a",), faces=0), tmp_path / "report"
    (folder / RUN / "curve.csv").unlink()
    first = build_report(folder, out).files
    times = {path: path.stat().st_mtime_ns for path in first}
    monkeypatch.setattr("bench.report.draw.draw_report", lambda *_: pytest.fail("it was drawn again"))
    change(folder / "experiment.json")  # written anew, with the same content
    assert build_report(folder, out) == Report(first)
    assert {path: path.stat().st_mtime_ns for path in first} == times
    monkeypatch.undo()
    (out / "table1.md").write_text("touched")
    build_report(folder, out)
    assert "touched" not in (out / "table1.md").read_text(encoding="utf-8")
    change(folder / "experiment.json", title="Another title")
    build_report(folder, out)
    assert "Another title" in (out / "table1.md").read_text(encoding="utf-8")
    change(folder / RUN / "run.json", status="running")
    with lock(folder / ".locks" / f"{RUN}.lock"):
        build_report(folder, out)
        assert "(running)" in (out / "table1.md").read_text(encoding="utf-8")
    build_report(folder, out)
    assert "(interrupted)" in (out / "table1.md").read_text(encoding="utf-8")


def test_what_has_nothing_to_show_is_neither_written_nor_left(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "results", rows=few_rows(), images=("a",))
    build_report(folder, tmp_path / "report")
    (tmp_path / "report" / "notes.md").write_text("a reader's own")
    (folder / RUN / "curve.csv").unlink()
    change(folder / "experiment.json", samples=[])
    written = build_report(folder, tmp_path / "report").files
    expected = {"index.md", "metrics.md", "report.html"}
    expected |= {f"{name}.{kind}" for name in ("table1", "means") for kind in KINDS}
    assert (
        {path.name for path in written} | {"notes.md"} == set(contents(tmp_path / "report")) == expected | {"notes.md"}
    )
    linked = links((tmp_path / "report" / "index.md").read_text(encoding="utf-8"))
    assert linked == {f"table1.{kind}" for kind in KINDS} | {"metrics.md", "report.html"}


def test_pages_of_other_test_sets_do_not_stay(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "results", rows=few_rows(), images=("a", "b"), tests=("celeba", "lfw"), faces=0)
    (folder / RUN / "curve.csv").unlink()
    build_report(folder, tmp_path / "report")
    assert {"table2.csv", "means-celeba.tex", "means-lfw.csv"} <= set(contents(tmp_path / "report"))
    written = build_report(
        fabricate(tmp_path / "results", rows=few_rows(), images=("a", "b"), faces=0), tmp_path / "report"
    ).files
    assert set(contents(tmp_path / "report")) == {path.name for path in written}
    assert not {"table2.csv", "means-lfw.csv"} & {path.name for path in written}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replace(old: str, new: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(path.read_text().replace(old, new, 1))


def append(line: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(path.read_text() + line)


def turn_round(path: Path) -> None:
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([head, *reversed(lines)]) + "\n")


def take_another(path: Path) -> None:
    """Put the files of another run into a run's folder."""
    shutil.rmtree(path.parent)
    shutil.copytree(path.parents[1] / run_name("bicubic"), path.parent)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("experiment.json", Path.unlink, "no such file"),
        ("experiment.json", cut, "not valid JSON"),
        ("experiment.json", lambda path: path.write_text("[]"), "results layout None, .*reads layout 2"),
        ("experiment.json", lambda path: change(path, layout=1), "results layout 1, .*layout 2: fsr migrate"),
        ("experiment.json", lambda path: change(path, kind="ablatoin"), "unknown kind .*did you mean 'ablation'"),
        ("experiment.json", lambda path: change(path, rows=[]), "key 'rows' is"),
        ("experiment.json", replace(f'"{RUN}"', f'"{RUN}", "{RUN}"'), f"row 'Model 8' has the run {RUN} twice"),
        ("experiment.json", lambda path: change(path, train=None), "train: .*expected a table"),
        ("experiment.json", replace('"protocol"', '"protokoll"'), "unknown key 'protokoll': did you mean 'protocol'"),
        ("experiment.json", lambda path: change(path, scale="8"), "scale: '8' given, expected a whole number"),
        (f"{RUN}/run.json", lambda path: change(path, layout=1), f"results layout 1, .*: fsr migrate .*{RUN}"),
        (f"{RUN}/samples/a.png", cut, "not a whole picture"),
    ],
)
def test_damage_that_concerns_all_is_named(
    tmp_path: Path, name: str, spoil: Callable[[Path], None], message: str
) -> None:
    folder = fabricate(tmp_path / "results", rows=few_rows(), images=("a",))
    spoil(folder / name)
    with pytest.raises(UserError, match=message) as error:
        build_report(folder, tmp_path / "report")
    assert str(error.value).startswith(str(folder / name))
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("run.json", cut, "not valid JSON"),
        ("run.json", lambda path: change(path, status="done"), "status: 'done' given, expected one of"),
        ("run.json", lambda path: change(path, id="0123456789ab"), f"that of run {RUN}, its id says 0123456789ab"),
        ("run.json", replace('"seed": 0', '"seed": 1'), f"the config is that of run {run_name('msfnet-8', 1)}, its id"),
        ("run.json", take_another, f"that of run {run_name('bicubic')}, its folder is named {RUN}"),
        (SCORES, replace("psnr@", "psnr"), "columns are .*, expected"),
        (SCORES, replace(",38,", ",x38,"), "line 2: 'x38' in column 'psnr@sparnet', expected a number"),
        (SCORES, replace(",38,", ",-38,"), "line 2: -38 in column 'psnr@sparnet', expected -?[0-9e-]+ to inf"),
        (SCORES, replace(",0.78", ",99"), "line 3: 99 in column 'ssim@sparnet', expected -1 to 1"),
        (SCORES, replace(",38,", ","), "2 fields in line 2, expected 3"),
        (SCORES, append("a,99,1\n"), "line 4: image 'a' is in line 2 too"),
        (SCORES, append("c,99,1\n"), "3 images, expected the 2 of synthfaces"),
        (SCORES, turn_round, "line 2: image 'b', in the order of other runs 'a'"),
        (SCORES, replace("b,", "c,"), "line 3: image 'c', in the order of other runs 'b'"),
        ("curve.csv", replace("20,", "nan,"), "'nan' in column 'iteration', expected a whole number"),
        ("curve.csv", replace("40,", "20,"), "iteration 20 after 20"),
    ],
)
def test_a_damaged_run_is_named_and_left_out(
    tmp_path: Path,
    name: str,
    spoil: Callable[[Path], None],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    rows = [row for row in rows_of_table_1() if row["method"] in ("bicubic", "sparnet", "msfnet-8")]
    folder = fabricate(tmp_path / "results" / "x", rows=rows, images=("a", "b"), faces=0)
    spoil(folder / RUN / name)
    for _ in range(2):  # a report without a run is never up to date
        assert main(["report", "x"]) == 1
        out, err = capsys.readouterr()
        assert err.startswith(f"fsr: {folder / RUN / name}: ") and re.search(message, err) and err.count("\n") == 1
        (row,) = (line.split("|") for line in out.splitlines() if "Model 8" in line and "|" in line)
        assert row[1].strip() == "Model 8 (damaged) [a]" and row[5].strip() == "–"  # noqa: RUF001
        assert f"a: {RUN} is damaged and left out" in out and "| SPARNet " in out


def test_a_full_disk_leaves_the_old_report_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = fabricate(tmp_path / "results", rows=few_rows(), images=("a",), faces=0), tmp_path / "report"
    build_report(folder, out)
    (out / "notes.md").write_text("a reader's own")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    change(folder / "experiment.json", title="Another title")
    room = len(before) - 4

    def write(path: Path, content: bytes) -> None:
        nonlocal room
        room -= 1
        if not room:
            raise OSError(28, "No space left on device", str(path))
        write_bytes(path, content)

    monkeypatch.setattr("bench.report.folder.write_bytes", write)
    with pytest.raises(OSError, match="No space left"):
        build_report(folder, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    monkeypatch.undo()
    (out / ".new").mkdir()  # as a killed process leaves it
    (out / ".new" / "table1.md").write_text("half")
    build_report(folder, out)
    assert "Another title" in (out / "table1.md").read_text(encoding="utf-8") and not (out / ".new").exists()


def test_a_signal_is_obeyed_after_all_files_are_replaced(tmp_path: Path) -> None:
    names, moved = [f"{number}.md" for number in range(5)], []

    class Signalling(type(tmp_path)):  # type: ignore[misc]
        def replace(self, target: Path) -> Path:
            if target.parent == tmp_path:
                moved.append(target.name)
                os.kill(os.getpid(), signal.SIGTERM)
            return Path(super().replace(target))

    with pytest.raises(Interrupted):
        replace_files(Signalling(tmp_path), dict.fromkeys(names, b"new"))
    assert sorted(moved) == names == sorted(path.name for path in tmp_path.glob("*.md"))
