"""LaTeX: escaping, the parts that make a paper's table, and that pdflatex accepts it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.analysis.results import read_results
from bench.report.draw import draw_report
from bench.report.latex import escape, render
from bench.report.tables import ablation_table
from tests.bench.report.fabricate import change, fabricate, rows_of_table_1, run_name

NASTY = "[x] 50% of a_b & R&D \\ {c} ~ ^ #1 $5 <y> |z| *w* --data “q” … µ ± ∞ é 中 ж\nnext line"
LATIN = " ".join(map(chr, range(0xA1, 0x180)))
PACKAGES = ("booktabs.sty", "graphicx.sty", "amssymb.sty")
DOCUMENT = r"""\documentclass{article}
\usepackage{booktabs,graphicx,amssymb}
\begin{document}
\input{table1}
\end{document}
"""


def test_special_signs_are_printed_not_obeyed() -> None:
    assert escape("50% of a_b & #1 $5 {c}") == r"50\% of a\_b \& \#1 \$5 \{c\}"
    assert escape("\\ ~ ^") == r"\textbackslash{} \textasciitilde{} \textasciicircum{}"
    assert escape("a < b | c ± d") == r"a \ensuremath{<} b \ensuremath{|} c \ensuremath{\pm} d"
    assert escape("[x] *y* --data 1-8") == "{[}x{]} {*}y{*} -{}-data 1-8"
    assert escape("é ő 中 ﬁ\n\nnext") == "é ő U+4E2D f next", "the letters it cannot set have a stand-in"


def test_it_has_the_parts_of_a_papers_table(tmp_path: Path) -> None:
    folder = fabricate(tmp_path, seeds=(0, 1))
    change(folder / run_name("msfnet-3", 1) / "run.json", status="failed", error="stopped at 50%")
    text = render(ablation_table(read_results(folder)))
    for environment in ("table", "tabular", "minipage"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}") == 1
    rules = re.findall(r"\\(?:top|mid|bottom)rule", text)
    assert rules == [r"\toprule", r"\midrule", r"\bottomrule"] and r"\hline" not in text
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    cells = [line.removesuffix(r" \\").split(" & ") for line in body]
    assert {len(row) for row in cells} == {11}
    by_label = {row[0]: row[1:] for row in cells}
    check = r"\checkmark{}"
    assert by_label["Model 6"][:3] == [check, "", check]
    assert by_label["Model 8"][3] == r"\textbf{39.250\,\ensuremath{\pm}\,0.354}"
    minus = r"\ensuremath{-}11.250"
    assert by_label["Bicubic"][4].startswith(rf"{minus} {{[}}\ensuremath{{-}}")
    assert by_label[r"Model 3\textsuperscript{a}"][3] == "34.000"
    assert by_label["Model 7"][3] == r"\underline{38.250\,\ensuremath{\pm}\,0.354}"
    assert rf"\textsuperscript{{a}}\,{run_name('msfnet-3', 1)} failed: stopped at 50\%." in text
    columns = re.search(r"\\begin\{tabular\}\{@\{\}(\w+)@\{\}\}", text)
    assert columns and columns[1] == "lccclllrrrr"
    assert r"\cmidrule(lr){5-7}\cmidrule(lr){8-9}" in text


def test_hashes_devices_and_notes_are_left_to_the_page(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "results" / "mine", seeds=(0, 1))
    draw_report(read_results(folder), tmp_path / "out")
    for path in (tmp_path / "out").glob("*.tex"):
        text = path.read_text(encoding="utf-8")
        assert "feedc0de" not in text and "CPU" not in text and "Underlined" not in text
        assert rf"\label{{tab:mine-{path.stem}}}" in text
    page = (tmp_path / "out" / "index.md").read_text(encoding="utf-8")
    assert "feedc0defeed" in page and "Made-up CPU, 2 threads" in page and "Underlined" in page


def test_pdflatex_takes_it_and_it_fits_the_page(tmp_path: Path) -> None:
    if not shutil.which("pdflatex") or subprocess.run(["kpsewhich", *PACKAGES], capture_output=True).returncode:
        pytest.skip("pdflatex or one of its packages is not installed: " + ", ".join(PACKAGES))
    rows = rows_of_table_1()
    for row in rows[:3]:
        row["label"] = NASTY
    folder = fabricate(tmp_path / "results", rows=rows, seeds=(0, 1), title=NASTY, profile_note=LATIN)
    change(folder / run_name("msfnet-5", 1) / "run.json", status="failed", error=f"{NASTY} {LATIN}")
    (tmp_path / "table1.tex").write_text(render(ablation_table(read_results(folder))))
    (tmp_path / "paper.tex").write_text(DOCUMENT)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "paper.log").read_text(errors="replace")
    assert "(1 page" in log
    assert r"Overfull \hbox" not in log, "wider than the page"
    assert "Missing character" not in log
    if shutil.which("pdftotext"):
        done = subprocess.run(["pdftotext", "paper.pdf", "-"], cwd=tmp_path, capture_output=True, text=True, check=True)
        for part in ("[x] 50% of a", "R&D", "#1 $5", "--data", "U+4E2D", "Model 8"):
            assert part in done.stdout
