"""Markdown: the whole text of a small table, and text that Markdown would take for markup."""

from __future__ import annotations

import re
from pathlib import Path

from bench.analysis.results import read_results
from bench.report.markdown import escape, render
from bench.report.table import Cell, Column, Row, Table
from bench.report.tables import ablation_table
from tests.bench.report.fabricate import fabricate, rows_of_table_1


def test_a_small_table_reads_as_written_by_hand() -> None:
    columns = (Column("model", "Model", align="left"), Column("psnr", "PSNR", "dB", group="Measured"))
    rows = (
        Row((Cell("A", "A"), Cell(30.0, "30.000", "best")), "a"),
        Row((Cell("B", "B", remarks=("First.", "Second.")), Cell(29.0, "29.000 ± 0.100", "tie")), "b"),
        Row((Cell("C", "C", remarks=("Second.",)), Cell(28.0, "28.000", remarks=("Third.",))), "c"),
    )
    table = Table("t", "A title", "A caption.", columns, rows, ("A note.",))
    assert render(table) == (
        "**A title.** A caption.\n"
        "\n"
        "| Model     |       Measured: PSNR (dB) |\n"
        "|:----------|--------------------------:|\n"
        "| A         |                **30.000** |\n"
        "| B [a] [b] | <ins>29.000 ± 0.100</ins> |\n"
        "| C [b]     |                28.000 [c] |\n"
        "\n"
        "- a: First.\n"
        "- b: Second.\n"
        "- c: Third.\n"
        "- A note.\n"
    )


def test_markup_in_a_text_is_escaped() -> None:
    assert escape("a|b *c* _d_ __e__ f_g [x](y) `z`") == r"a\|b \*c\* \_d\_ \_\_e\_\_ f_g \[x\](y) \`z\`"
    assert escape("~~a~~ $b$ &lt; R&D <b> 5<6 \\ #1 50% ±") == r"\~\~a\~\~ \$b\$ \&lt; R&D \<b> 5<6 \\ #1 50% ±"
    assert escape(" two\nlines\t中 ") == "two lines 中"


def test_a_label_cannot_break_the_table(tmp_path: Path) -> None:
    rows = rows_of_table_1()
    rows[0]["label"] = "| a\n\n| b | c"
    text = render(ablation_table(read_results(fabricate(tmp_path, rows=rows))))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(rows)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {12}
