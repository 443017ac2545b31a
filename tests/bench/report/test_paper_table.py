"""`fsr export`: the table that goes into a paper, down to the PDF that TeX makes of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.analysis.results import Results, read_results
from bench.cli.main import main
from bench.core.errors import UserError
from bench.report.paper_latex import macro_name, render_paper
from bench.report.paper_table import Chosen, paper_table
from tests.bench.report.fabricate import change, fabricate, rows_of_table_1, run_name

PACKAGES = ("booktabs.sty", "siunitx.sty", "graphicx.sty", "amssymb.sty")
IMAGES = [f"face-{number:02d}" for number in range(12)]
NASTY = "50% of a_b & R&D # $5 ~ ^ {c}"


def psnr(method: str, seed: int, image: int) -> float:
    """Return scores by which Model 8 is better than all others, and Model 6 second."""
    gain = {"bicubic": -4.0, "msfnet-6": 0.5, "msfnet-8": 1.0}.get(method, 0.0)
    return 26 + gain + 0.01 * seed + ((image * 7919) % 11) / 11


def results_of(folder: Path, **changes: object) -> Results:
    made = {"images": IMAGES, "faces": 0, "seeds": (0, 1), "psnr": psnr, "tests": ("celeba", "helen")}
    return read_results(fabricate(folder, **(made | changes)))  # type: ignore[arg-type]


def body(latex: str) -> dict[str, list[str]]:
    """Return the cells of each row by its label."""
    text = latex.split(r"\midrule")[1].split(r"\bottomrule")[0].strip()
    rows = [line.removesuffix(r" \\").split(" & ") for line in text.splitlines()]
    return {row[0]: row[1:] for row in rows}


def test_rows_metrics_and_sets_are_those_that_are_asked_for(tmp_path: Path) -> None:
    results = results_of(tmp_path / "mine")
    table = paper_table(results, Chosen(["msfnet-8", "Model 1"], ["psnr"], ["helen"]))
    assert [row.cells[0].text for row in table.rows] == ["Model 8", "Model 1"]
    assert [column.key for column in table.columns] == ["model", "ESEM", "PA", "FEM", "psnr_helen"]
    whole = paper_table(results, Chosen(cost=True))
    assert len(whole.rows) == 10
    assert [column.key for column in whole.columns if column.dataset] == [
        f"{metric}_{test}" for test in ("celeba", "helen") for metric in ("psnr", "ssim")
    ]
    assert [column.key for column in whole.columns[-2:]] == ["parameters", "multiply_adds"]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (Chosen(rows=["Model 9"]), r"no row 'Model 9'.*Model 8"),
        (Chosen(metrics=["psnt"]), r"no metric 'psnt'.*psnr"),
        (Chosen(tests=["helena"]), r"no test set 'helena'.*helen"),
    ],
)
def test_what_is_not_there_is_named_with_the_nearest(tmp_path: Path, chosen: Chosen, message: str) -> None:
    with pytest.raises(UserError, match=message):
        paper_table(results_of(tmp_path), chosen)


def test_best_is_bold_and_second_underlined_of_the_rows_that_are_shown(tmp_path: Path) -> None:
    results = results_of(tmp_path)
    rows = body(render_paper(paper_table(results, Chosen(metrics=["psnr"], tests=["helen"])), "tab:x"))
    assert rows["Model 8"][-1] == r"\bfseries 27.422"
    assert rows["Model 6"][-1] == r"26.922 \fsrsecond{26.922}"
    assert not [label for label, row in rows.items() if "\\" in row[-1] and label not in ("Model 6", "Model 8")]
    fewer = body(render_paper(paper_table(results, Chosen(["sparnet", "msfnet-6"], ["psnr"], ["helen"])), "tab:x"))
    assert fewer["Model 6"][-1] == r"\bfseries 26.922" and fewer["SPARNet"][-1].startswith("26.422 ")


def test_the_caption_is_one_sentence(tmp_path: Path) -> None:
    caption = paper_table(results_of(tmp_path / "a"), Chosen(metrics=["psnr"])).caption
    assert caption == (
        "PSNR on CelebA (12 faces) and Helen (12) under protocol sparnet, means over faces and 2 seeds; bold: better "
        "than every other row in simultaneous 95% intervals; underlined: second best mean."
    )
    single = paper_table(results_of(tmp_path / "b", seeds=(0,)), Chosen(published=True)).caption
    assert "1 seed; underlined: second best mean; of one seed, so that no row can be called best; published" in single
    for text in (caption, single):
        assert text.count(". ") == 0 and text.endswith(".")
        assert "feedc0de" not in text and "CPU" not in text


def test_published_numbers_stand_beside_ours_where_there_are_some(tmp_path: Path) -> None:
    table = paper_table(results_of(tmp_path), Chosen(metrics=["psnr"], published=True))
    groups = [(column.group, column.key) for column in table.columns if column.group]
    assert ("Published, Helen", "published_psnr_helen") in groups
    rows = {row.cells[0].text: row.cells for row in table.rows}
    place = [column.key for column in table.columns].index("published_psnr_helen")
    assert (rows["Model 8"][place].text, rows["Model 1"][place].text) == ("27.744", "27.389")
    assert "published_ssim_helen" not in [column.key for column in table.columns], "SSIM was not asked for"


def test_faces_that_a_row_fails_on_are_named_below(tmp_path: Path) -> None:
    def broken(method: str, seed: int, image: int) -> float:
        return psnr(method, seed, image) - (9 if (method, seed, image) == ("msfnet-3", 1, 5) else 0)

    latex = render_paper(paper_table(results_of(tmp_path, psnr=broken), Chosen(tests=["helen"])), "tab:x")
    assert r"Model 3\textsuperscript{a} & " in latex
    assert r"\textsuperscript{a}\,Model 3 fails on 1 of 12 faces of helen with seed 1" in latex


def test_numbers_stand_in_columns_with_room_for_the_longest(tmp_path: Path) -> None:
    latex = render_paper(paper_table(results_of(tmp_path), Chosen(cost=True)), "tab:mine")
    assert latex.count("S[table-format=2.3]") == 3 and latex.count("S[table-format=1.4]") == 2  # Params (M): 10.519
    assert r"{PSNR (dB) \ensuremath{\uparrow}}" in latex and r"\label{tab:mine}" in latex
    assert r"\cmidrule(lr){5-6}\cmidrule(lr){7-8}" in latex


def test_a_narrow_table_fits_a_column_and_a_wide_one_takes_two(tmp_path: Path) -> None:
    results = results_of(tmp_path)
    narrow = render_paper(paper_table(results, Chosen(metrics=["psnr"], tests=["helen"])), "tab:x")
    wide = render_paper(paper_table(results, Chosen(published=True, cost=True)), "tab:x")
    assert r"\begin{table}[t]" in narrow and r"\end{table}" in narrow
    assert r"\begin{table*}[t]" in wide and r"\end{table*}" in wide


def test_every_number_has_a_macro_of_letters(tmp_path: Path) -> None:
    table = paper_table(results_of(tmp_path / "mine-2"), Chosen(metrics=["psnr"]))
    found = re.findall(r"^\\newcommand\{\\([A-Za-z]+)\}\{([\d.]+)\}%$", render_paper(table, "l", macros=True), re.M)
    assert len(found) == len(dict(found)) == 20
    assert dict(found)["MineTwoModelEightPsnrHelen"] == "27.422"
    assert r"\newcommand" not in render_paper(table, "l")
    assert macro_name("a-1", "SPARNet (10x)") == "AOneSPARNetOneZeroX"


def test_the_command_writes_a_file_or_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    results_of(tmp_path / "results" / "mine")
    assert main(["export", "mine", "--rows", "Model 1", "Model 8", "--metrics", "psnr", "--tests", "helen"]) == 0
    printed = capsys.readouterr().out
    assert r"\label{tab:mine}" in printed and list(body(printed)) == ["Model 1", "Model 8"]
    out = tmp_path / "table.tex"
    assert main(["export", "mine", "--out", str(out), "--json", "--label", "tab:one"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["out"] == str(out) and about["latex"] == out.read_text() and r"\label{tab:one}" in about["latex"]
    assert main(["export", "mine", "--metrics", "psnt"]) == 2


def no_tex() -> str:
    """Return why nothing can be compiled; "" where it can."""
    if not shutil.which("pdflatex"):
        return "pdflatex is not installed"
    missing = [
        name
        for name in (*PACKAGES, "IEEEtran.cls")
        if subprocess.run(["kpsewhich", name], capture_output=True).returncode
    ]
    return f"TeX lacks {', '.join(missing)}" if missing else ""


@pytest.mark.slow
@pytest.mark.skipif(bool(no_tex()), reason=no_tex() or "TeX is there")
@pytest.mark.parametrize("document", ["[journal]{IEEEtran}", "{article}"])
def test_tex_takes_it_in_papers_classes(tmp_path: Path, document: str) -> None:
    rows = rows_of_table_1()
    rows[2]["label"] = NASTY
    results = results_of(tmp_path / "results", rows=rows)
    change(tmp_path / "results" / run_name("msfnet-5", 1) / "run.json", status="failed", error="stopped")
    narrow = render_paper(paper_table(results, Chosen(metrics=["psnr"], tests=["helen"])), "tab:narrow")
    wide = render_paper(paper_table(results, Chosen(published=True, cost=True)), "tab:wide", macros=True)
    (tmp_path / "narrow.tex").write_text(narrow)
    (tmp_path / "wide.tex").write_text(wide)
    (tmp_path / "paper.tex").write_text(
        rf"\documentclass{document}\usepackage{{booktabs,siunitx,graphicx,amssymb}}\begin{{document}}"
        r"\title{T}\author{A}\maketitle Tables \ref{tab:narrow} and \ref{tab:wide}.\input{narrow}\input{wide}"
        r"It is \ResultsModelEightPsnrHelen{} dB.\end{document}"
    )
    for _ in range(2):
        done = subprocess.run(
            ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
        )
        assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "paper.log").read_text(errors="replace")
    assert not re.findall(r"Overfull \\hbox|Missing character|undefined|siunitx Warning", log)
    if shutil.which("pdftotext"):
        done = subprocess.run(["pdftotext", "paper.pdf", "-"], cwd=tmp_path, capture_output=True, text=True, check=True)
        for part in ("R&D # $5", "It is 27.422 dB", "27.422", "Published, Helen"):
            assert part in done.stdout
