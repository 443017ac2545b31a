r"""A table as papers print it: booktabs' rules, siunitx' columns aligned at the point, `table*` where it is wide."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from bench.report.latex import escape
from bench.report.table import CHECK, Cell, Column, Row, Table

_HEAD = r"""% {name}: made by fsr-bench. In the preamble:
%   \usepackage{{booktabs,siunitx,graphicx,amssymb}}
\providecommand{{\fsrsecond}}[1]{{\llap{{\underline{{\phantom{{\num{{#1}}}}}}}}}} % a line under the number before it
"""
_NUMBER = re.compile(r"-?(\d+)(?:\.(\d+))?")
_LETTER, _BETWEEN = 4.2, 6.0  # points: a letter of \footnotesize on average, what lies between columns
_ONE_COLUMN = 240.0  # points: what fits into a column of an IEEE page
_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def render_paper(table: Table, label: str, *, macros: bool = False) -> str:
    r"""Return the table as LaTeX, with its caption and `\label{label}`; with `macros` a \newcommand a number before it.

    The best mean is bold and the second best underlined; notes are those that rows carry: faces that they fail on, and
    whose they are where they were made elsewhere.
    """
    environment = "table*" if _width(table) > _ONE_COLUMN else "table"
    lines = [
        _HEAD.format(name=table.name).rstrip("\n"),
        *(_macros(table) if macros else []),
        rf"\begin{{{environment}}}[t]",
        r"\centering",
        r"\setlength{\belowcaptionskip}{4pt}",
        rf"\caption{{{escape(table.caption)}}}",
        rf"\label{{{label}}}",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{3pt}",
        r"\sisetup{detect-weight=true}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        *_tabular(table),
        *_notes(table),
        rf"\end{{{environment}}}",
    ]
    return "\n".join(lines) + "\n"


def _tabular(table: Table) -> Iterator[str]:
    yield rf"\begin{{tabular}}{{@{{}}{''.join(_spec(table, place) for place in range(len(table.columns)))}@{{}}}}"
    yield r"\toprule"
    if any(column.group for column in table.columns):
        yield from _groups(table.columns)
    yield " & ".join(_heading(column) for column in table.columns) + r" \\"
    yield r"\midrule"
    for place, row in enumerate(table.rows):
        if place == table.own_rows and place > 0:
            yield r"\midrule"
        yield " & ".join(_line(table, row)) + r" \\"
    yield r"\bottomrule"
    yield r"\end{tabular}}"


def _spec(table: Table, place: int) -> str:
    """Return a column's type: an S column with room for its longest number, or letters' alignment."""
    column = table.columns[place]
    numbers = [match for row in table.rows if (match := _NUMBER.fullmatch(row.cells[place].text))]
    if not column.numeric or not numbers:
        return column.align[0] if not column.numeric else "c"
    whole, part = (max(len(match[group] or "") for match in numbers) for group in (1, 2))
    sign = "-" if any(match[0].startswith("-") for match in numbers) else ""
    return f"S[table-format={sign}{whole}.{part}]"


def _groups(columns: Sequence[Column]) -> Iterator[str]:
    """Yield the line of groups over their columns, and the rules under each."""
    heads, rules, at = list[str](), list[str](), 1
    for group, members in groupby(columns, key=lambda column: column.group):
        width = len(list(members))
        heads += [rf"\multicolumn{{{width}}}{{c}}{{{escape(group)}}}"] if group else [""] * width
        rules += [rf"\cmidrule(lr){{{at}-{at + width - 1}}}"] if group else []
        at += width
    yield " & ".join(heads) + r" \\"
    yield "".join(rules)


def _heading(column: Column) -> str:
    """Return title, unit and the arrow that the title ends with; in braces over numbers, which S columns take."""
    title, arrow = column.title.rstrip(" ↑↓"), column.title[len(column.title.rstrip(" ↑↓")) :]
    unit = f" ({column.unit})" if column.unit else ""
    return f"{{{escape(title + unit + arrow)}}}" if column.numeric else escape(title)


def _line(table: Table, row: Row) -> Iterator[str]:
    for place, (cell, column) in enumerate(zip(row.cells, table.columns, strict=True)):
        marks = ",".join(table.marks(cell))
        text = _number(cell) if column.numeric else escape(cell.text)
        yield rf"{text}\textsuperscript{{{marks}}}" if marks and not place else text


def _number(cell: Cell) -> str:
    """Return a number as an S column takes it, and anything else in braces."""
    if not _NUMBER.fullmatch(cell.text):
        return f"{{{escape(cell.text)}}}" if cell.text != CHECK else r"{\checkmark}"
    if cell.emphasis == "best":
        return rf"\bfseries {cell.text}"
    return rf"{cell.text} \fsrsecond{{{cell.text}}}" if cell.emphasis == "second" else cell.text


def _notes(table: Table) -> list[str]:
    if not table.footnotes:
        return []
    texts = [rf"\textsuperscript{{{letter}}}\,{escape(text)}" for text, letter in table.footnotes.items()]
    return [
        r"\par\smallskip",
        r"\begin{minipage}{\linewidth}\scriptsize\raggedright",
        "\\par\n".join(texts),
        r"\end{minipage}",
    ]


def _width(table: Table) -> float:
    """Return about how wide the table is, in points of \\footnotesize."""
    widths = []
    for place, column in enumerate(table.columns):
        texts = [column.heading, *(row.cells[place].text for row in table.rows)]
        widths.append(_LETTER * max(map(len, texts)) + _BETWEEN)
    return sum(widths)


def _macros(table: Table) -> Iterator[str]:
    r"""Yield a \newcommand for every number, named after table, row and column."""
    used = set[str]()
    for row in table.rows:
        for cell, column in zip(row.cells, table.columns, strict=True):
            if not column.numeric or not _NUMBER.fullmatch(cell.text):
                continue
            name = stem = macro_name(table.name, row.cells[0].text, column.key)
            while name in used:
                name += "X"
            used.add(name)
            yield rf"\newcommand{{\{stem if name == stem else name}}}{{{cell.text}}}%"


def macro_name(*parts: str) -> str:
    r"""Return the name of a macro, of letters alone.

    >>> macro_name("ablation", "Model 8", "psnr_helen")
    'AblationModelEightPsnrHelen'
    """
    spelled = re.sub(r"\d", lambda digit: f" {_DIGITS[int(digit[0])]} ", " ".join(parts))
    return "".join(word[0].upper() + word[1:] for word in re.findall("[A-Za-z]+", spelled))
