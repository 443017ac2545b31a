"""Comparisons of `fsr power` as JSON values and as text for a terminal."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tabulate import tabulate

from bench.analysis.study import Asked, Comparison, Need
from bench.metrics.spec import Metric
from bench.report.table import gain_cell

_WIDTH = 100  # characters a line


@dataclass(frozen=True)
class Setting:
    """What all comparisons share: the experiment, what was scored how, the baseline's label and what is asked."""

    experiment: str
    dataset: str
    metric: Metric
    protocol: str
    baseline: str
    asked: Asked


def power_json(setting: Setting, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Return everything as plain JSON values; what is infinite or unknown is null."""
    return {
        "experiment": setting.experiment,
        "dataset": setting.dataset,
        "metric": setting.metric.name,
        "unit": setting.metric.unit,
        "protocol": setting.protocol,
        "baseline": setting.baseline,
        "level": setting.asked.level,
        "power": setting.asked.power,
        "comparisons": [_comparison_json(one) for one in comparisons],
    }


def _comparison_json(one: Comparison) -> dict[str, Any]:
    parts, estimate = one.components, one.difference
    return {
        "row": one.row,
        "images": estimate.n,
        "left_out": estimate.left_out,
        "seeds": {"baseline": one.seeds[0], "row": one.seeds[1]},
        "difference": {"mean": estimate.mean, "low": estimate.low, "high": estimate.high},
        "sd_images": math.sqrt(parts.image),
        "sd_trainings": np.sqrt(parts.training).tolist() if parts.known else None,
        "sd_trainings_range": list(one.seed_sd_range) if one.seed_sd_range else None,
        "sd_image_x_training": np.sqrt(parts.interaction).tolist() if parts.known else None,
        "detectable": _finite(one.detectable),
        "gains": [dataclasses.asdict(need) for need in one.needs],
        "grid": [{"images": n, "seeds": seeds, "detectable": _finite(gain)} for (n, seeds), gain in one.grid.items()],
        "cautions": list(one.cautions),
    }


def power_text(setting: Setting, comparisons: Sequence[Comparison]) -> str:
    """Return one comparison in full with its grid, several as a table of a line each."""
    metric, asked = setting.metric, setting.asked
    unit = f" ({metric.unit})" if metric.unit else ""
    head = (
        f"{metric.title}{unit} over {setting.baseline}, protocol {setting.protocol}, {setting.dataset}; "
        f"a gain is seen if the {100 * asked.level:g}% interval claims it with {100 * asked.power:g}% power"
    )
    whole = len(comparisons) == 1
    body = _full(comparisons[0], asked, metric.decimals) if whole else _lines(comparisons, asked, metric.decimals)
    cautions = dict.fromkeys(f"Caution: {caution}." for one in comparisons for caution in one.cautions)
    return "\n\n".join([textwrap.fill(head, _WIDTH), *body, *(textwrap.fill(text, _WIDTH) for text in cautions)])


def _full(one: Comparison, asked: Asked, decimals: int) -> list[str]:
    """Return the parts of the text about one row."""
    images, deviation = one.difference.n, math.sqrt(one.components.image)
    facts = [
        ["difference", gain_cell(one.difference, decimals).text],
        ["images", str(images)],
        ["seeds", f"{one.seeds[1]}, of the baseline {one.seeds[0]}"],
        ["deviation over images", f"{deviation:.{decimals}f} of the paired difference"],
        ["deviation over seeds", _over_seeds(one, decimals, asked.level)],
        ["smallest gain seen", _gain(one.detectable, decimals)],
    ]
    parts = [f"{one.row}\n{tabulate(facts, tablefmt='plain', disable_numparse=True)}"]
    if one.needs:
        needs = [[f"{need.gain:g}", _images(need), _seeds(need, one)] for need in one.needs]
        parts.append(_table(needs, ["gain", "images, with these seeds", f"seeds, with {images} images"]))
    seeds = sorted({count for _, count in one.grid})
    grid = [[n, *(_gain(one.grid[n, each], decimals) for each in seeds)] for n in sorted({n for n, _ in one.grid})]
    heads = ["images", *(f"{each} seed{'s' * (each > 1)}" for each in seeds)]
    table = _table(grid, heads, colalign=["right"] * len(heads))
    return [*parts, f"Smallest gain seen with other numbers of images and seeds\n{table}"]


def _lines(comparisons: Sequence[Comparison], asked: Asked, decimals: int) -> list[str]:
    """Return a table of a line a row; where more images cannot help, the seeds that would take."""
    rows = [
        [
            one.row,
            gain_cell(one.difference, decimals).text,
            f"{math.sqrt(one.components.image):.{decimals}f}",
            _over_seeds(one, decimals, None),
            _gain(one.detectable, decimals),
            *(_images(need, short=True) for need in one.needs),
        ]
        for one in comparisons
    ]
    heads = ["row", "difference", "sd images", "sd seeds", "seen", *(f"for {gain:g}" for gain in asked.gains)]
    about = "seen: the smallest gain that the images and seeds there are can show"
    about += "; for a gain: the images it takes, or, where more cannot help, the seeds" if asked.gains else ""
    return [_table(rows, heads), textwrap.fill(f"{about}. --row ROW tells more.", _WIDTH)]


def _table(rows: Iterable[Iterable[object]], heads: Sequence[str], **how: Any) -> str:
    return tabulate(rows, heads, tablefmt="simple", disable_numparse=True, **how)


def _over_seeds(one: Comparison, decimals: int, level: float | None) -> str:
    """Return the deviation over seeds of each trained method; with a level also the range of what it may be."""
    if not one.components.known:
        return "unknown"
    if not one.components.training:
        return "none: not trained" if level else "-"
    both = [f"{math.sqrt(value):.{decimals}f}" for value in one.components.training]
    if level is None:
        return " and ".join(both)
    text = ", of the baseline ".join(both)
    if one.seed_sd_range is None:
        return f"{text} (given)"
    low, high = one.seed_sd_range
    return f"{text}; together, if alike, {low:.{decimals}f} to {high:.{decimals}f} at {100 * level:g}%"


def _gain(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if math.isfinite(value) else "none"


def _images(need: Need, short: bool = False) -> str:
    if need.images is not None:
        return str(need.images)
    if need.least_seeds is None:
        return "-" if short else "more images cannot help"
    return f"{'>=' if short else 'more images cannot help: at least '}{need.least_seeds} seeds"


def _seeds(need: Need, one: Comparison) -> str:
    if not one.components.training:
        return "-"
    if not one.components.known:
        return "unknown"
    if need.seeds is not None:
        return str(need.seeds)
    least = f": at least {need.least_images} images" if need.least_images is not None else ""
    return f"more seeds cannot help{least}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
