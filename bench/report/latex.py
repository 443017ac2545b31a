r"""A table as LaTeX: booktabs, in a `table` environment that compiles inside a plain article."""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby

from bench.report.grid import grid
from bench.report.table import TIED, Cell, Column, Table

_HEAD = r"""% {name}, made by fsr-bench; \input it. Notes, hashes and devices are on the report's page. In the preamble:
%   \usepackage{{booktabs}}  % rules
%   \usepackage{{graphicx}}  % shrinks the table to the text width where it is wider
%   \usepackage{{amssymb}}   % \checkmark; without it \surd stands in
\providecommand{{\checkmark}}{{\ensuremath{{\surd}}}}
"""
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
    "|": r"\ensuremath{|}",
    '"': "''",
    "[": "{[}",  # after a line break "[" and "*" would be read as its options
    "]": "{]}",
    "*": "{*}",
    "±": r"\ensuremath{\pm}",
    "×": r"\ensuremath{\times}",  # noqa: RUF001
    "≈": r"\ensuremath{\approx}",
    "∞": r"\ensuremath{\infty}",
    "µ": r"\ensuremath{\mu}",
    "✓": r"\checkmark{}",
    "↑": r"\ensuremath{\uparrow}",
    "↓": r"\ensuremath{\downarrow}",
    "–": r"\textendash{}",  # noqa: RUF001
    "—": r"\textemdash{}",
    "‘": "`",  # noqa: RUF001
    "’": "'",  # noqa: RUF001
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
}
_LAST_LATIN = 0x17F  # pdflatex knows Latin letters up to here without further packages, but for these:
_UNKNOWN = "«»ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲųſ"


def escape(text: str) -> str:
    r"""Return `text` on one line as LaTeX that prints it.

    A sign that pdflatex cannot set is written without its accent or as its code, e.g. "U+4E2D".

    >>> escape("50% of a_b")
    '50\\% of a\\_b'
    """
    text = "".join(_SPECIAL.get(sign) or _plain(sign) for sign in " ".join(text.split()))
    return re.sub("-(?=-)", "-{}", text)  # "--data" keeps both hyphens


def render(table: Table) -> str:
    r"""Return the table as LaTeX: the best bold, the second best underlined, and below it the notes that rows carry.

    Its label is `tab:` with the experiment's name and the table's own.
    """
    label = f"{table.experiment}-{table.name}" if table.experiment else table.name
    lines = [
        _HEAD.format(name=table.name) + r"\begin{table}[t]",
        r"\centering",
        r"\setlength{\belowcaptionskip}{6pt}",
        rf"\caption[{{{escape(table.title)}}}]{{{escape(table.title)}. {escape(table.caption)}}}",
        rf"\label{{tab:{label}}}",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        "\n".join(_tabular(table)) + "}",
        *_below(table),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _tabular(table: Table) -> list[str]:
    """Return the lines of the tabular, which pandas writes, with a rule under each group of columns."""
    alignment = "".join(column.align[0] for column in table.columns)
    text = grid(table, _heading, _cell, r"\textsuperscript{{{}}}").to_latex(
        column_format=f"@{{}}{alignment}@{{}}", hrules=True, multicol_align="c"
    )
    lines = text.rstrip().splitlines()
    if 0 < table.own_rows < len(table.rows):
        lines.insert(len(lines) - 2 - (len(table.rows) - table.own_rows), r"\midrule")
    rules, at = [], 1
    for group, members in groupby(table.columns, key=lambda column: column.group):
        width = len(list(members))
        rules += [rf"\cmidrule(lr){{{at}-{at + width - 1}}}"] if group else []
        at += width
    return [*lines[:3], "".join(rules), *lines[3:]] if rules else lines


def _heading(column: Column, text: str) -> str:
    """Return a heading centred over its column; groups are centred by pandas, that of a column of text is not."""
    plain = not column.numeric or not text or text == column.group
    return escape(text) if plain else rf"\multicolumn{{1}}{{c}}{{{escape(text)}}}"


def _cell(cell: Cell) -> str:
    text = escape(cell.text).replace(r" \ensuremath{\pm} ", r"\,\ensuremath{\pm}\,")
    text = re.sub(r"(?<![\w-])-(?=\d)", r"\\ensuremath{-}", text)  # a minus, not a hyphen
    command = {"best": "textbf", "second": "underline"}.get(cell.emphasis)
    text = rf"\{command}{{{text}}}" if command else text
    return rf"{text}\,{escape(TIED)}" if cell.tied else text


def _below(table: Table) -> list[str]:
    marked = [rf"\textsuperscript{{{letter}}}\,{escape(text)}" for text, letter in table.footnotes.items()]
    if not marked:
        return []
    return [
        r"\par\smallskip",
        r"\begin{minipage}{\linewidth}\footnotesize\raggedright\setlength{\parskip}{2pt}",
        "\\par\n".join(marked),
        r"\end{minipage}",
    ]


def _plain(sign: str) -> str:
    if sign.isprintable() and ord(sign) <= _LAST_LATIN and sign not in _UNKNOWN:
        return sign
    base = unicodedata.normalize("NFKD", sign)[0]
    return base if base.isascii() and base.isalnum() else f"U+{ord(sign):04X}"
