"""Write the page: records, template, style, script and libraries in one HTML file."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jinja2

from bench.analysis.results import Results
from bench.report.interactive.assets import FOLDER, libraries, own, packed, vendor
from bench.report.interactive.forest import forest
from bench.report.interactive.gather import gather
from bench.report.interactive.record import PageData, PageExperiment

FILE = "report.html"  # beside the other files of a report
ALL = "index.html"  # of all committed experiments


def browser_page(results: Results) -> bytes:
    """Return the page of one experiment."""
    return render(gather(results.title, [results]))


def page_of_all(experiments: Sequence[Results]) -> bytes:
    """Return the page of several experiments, the first of which is shown first."""
    return render(gather("Reference experiments", experiments))


def render(data: PageData) -> bytes:
    """Return the HTML of a page; the same records give the same bytes."""
    text = _template().render(
        data=data,
        forests=[forest(experiment.claims) for experiment in data.experiments],
        leading=[_first_rows(data, experiment) for experiment in data.experiments[:1]],
        packed=libraries() | {"data": packed(data.to_json().encode())},
        vendor=vendor(),
        style=own("style.css"),
        script=own("page.js"),
    )
    return text.encode()


def _first_rows(data: PageData, experiment: PageExperiment) -> list[tuple[str, str]]:
    """Return label and mean of each row as the first screen shows them before any script has run."""
    columns = experiment.scores.get(experiment.seen, {})
    key, scores = next(iter(columns.items()), ("", None))
    if scores is None:
        return [(row.label, row.status) for row in experiment.rows]
    metric = data.metrics[key.split("@")[0]]
    texts = []
    for row, cell in zip(experiment.rows, scores.cells, strict=True):
        mean = cell.mean[0] if cell else None
        shown = f"{mean:.{metric.decimals}f} {metric.unit}" if isinstance(mean, float) else mean or row.status
        texts.append((row.label, str(shown).rstrip()))
    return texts


@functools.cache
def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(FOLDER)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("page.html")
