"""HTML: a small table as its text, with escaped words and the provenance of a measured number."""

from __future__ import annotations

from bench.report.html import render
from bench.report.table import Cell, Column, Provenance, Row, Table

SOURCE = Provenance(("a-s0-1", "a-s1-2"), "faces", "feedc0de99", 3, 2, "rgb")


def test_a_small_table_reads_as_written_by_hand() -> None:
    columns = (Column("model", "Model", align="left"), Column("psnr", "PSNR", "dB", group="Measured"))
    rows = (
        Row((Cell("A", "A <&> B"), Cell(30.0, "30.000", "best", interval=(29.0, 31.0), provenance=SOURCE)), "a"),
        Row((Cell("B", "B"), Cell(29.0, "29.000", "second", tied=True, remarks=("First.", "A < B"))), "b"),
    )
    text = render(Table("t", "A title", "A caption.", columns, rows, ("A note.",)))
    about = "3 images of faces (feedc0de), protocol rgb, 2 seeds; 95% interval 29.0000 to 31.0000; runs a-s0-1 a-s1-2"
    assert f'<b><span title="{about}">30.000</span></b>' in text
    assert "<td >A &lt;&amp;&gt; B</td>" in text and "<td ><u>29.000</u> ≈<sup>a,b</sup></td>" in text
    assert text.startswith("<p><b>A title.</b> A caption.</p>\n<table")
    assert text.endswith("<ul>\n<li>a: First.</li>\n<li>b: A &lt; B</li>\n<li>A note.</li>\n</ul>\n")
