"""Comparisons of `fsr power` as JSON values and as text for a terminal."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from bench.metrics.spec import Metric
from bench.report.power import Asked, Comparison, Need

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


def power_json(setting: Setting, found: Sequence[Comparison]) -> dict[str, Any]:
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
        "comparisons": [_comparison_json(one) for one in found],
    }


def power_text(setting: Setting, found: Sequence[Comparison]) -> str:
    """Return one comparison in full with its grid, several as a table of a line each."""
    metric, asked = setting.metric, setting.asked
    unit = f" ({metric.unit})" if metric.unit else ""
    head = (
        f"{metric.title}{unit} over {setting.baseline}, protocol {setting.protocol}, {setting.dataset}; "
        f"a gain is seen if the {100 * asked.level:g}% interval claims it with {100 * asked.power:g}% power"
    )
    body = _full(found[0], asked, metric.decimals) if len(found) == 1 else _table(found, asked, metric.decimals)
    cautions = dict.fromkeys(caution for one in found for caution in one.cautions)
    told = [textwrap.fill(f"Caution: {caution}.", _WIDTH) for caution in cautions]
    return "\n\n".join([textwrap.fill(head, _WIDTH), *body, *told])


def _full(one: Comparison, asked: Asked, decimals: int) -> list[str]:
    """Return the parts of the text about one row."""
    lines = [
        ["difference", _interval(one, decimals)],
        ["images", str(one.found.n)],
        ["seeds", f"{one.seeds[1]}, of the baseline {one.seeds[0]}"],
        ["deviation over images", f"{math.sqrt(one.components.image):.{decimals}f} of the paired difference"],
        ["deviation over trainings", _training(one, decimals, asked.level)],
        ["smallest gain seen", _gain(one.detectable, decimals)],
    ]
    needs = [[f"{need.gain:g}", _images(need, one), _seeds(need, one)] for need in one.needs]
    heads = ["gain", "images, with these seeds", f"seeds, with {one.found.n} images"]
    seeds = sorted({count for _, count in one.grid})
    images = sorted({count for count, _ in one.grid})
    grid = [[count, *(_gain(one.grid[count, each], decimals) for each in seeds)] for count in images]
    parts = [f"{one.row}\n{tabulate(lines, tablefmt='plain', disable_numparse=True)}"]
    if needs:
        parts.append(tabulate(needs, heads, tablefmt="simple", disable_numparse=True))
    parts.append(
        "Smallest gain seen with other numbers of images and seeds\n"
        + tabulate(
            grid,
            ["images", *(f"{each} seed{'s' * (each > 1)}" for each in seeds)],
            tablefmt="simple",
            disable_numparse=True,
            colalign=["right"] * (len(seeds) + 1),
        )
    )
    return parts


def _table(found: Sequence[Comparison], asked: Asked, decimals: int) -> list[str]:
    """Return a table of a line a row; where more images cannot help, the seeds that would take."""
    rows = [
        [
            one.row,
            _interval(one, decimals),
            f"{math.sqrt(one.components.image):.{decimals}f}",
            _training(one, decimals, None),
            _gain(one.detectable, decimals),
            *(_images(need, one, short=True) for need in one.needs),
        ]
        for one in found
    ]
    heads = ["row", "difference", "sd images", "sd trainings", "seen", *(f"for {gain:g}" for gain in asked.gains)]
    told = "seen: the smallest gain that the images and seeds there are can show"
    if asked.gains:
        told += "; for a gain: the images it takes, or, where more cannot help, the seeds"
    table = tabulate(rows, heads, tablefmt="simple", disable_numparse=True)
    return [table, textwrap.fill(f"{told}. --row ROW tells more.", _WIDTH)]


def _interval(one: Comparison, decimals: int) -> str:
    found = one.found
    return f"{found.mean:+.{decimals}f} [{found.low:+.{decimals}f}, {found.high:+.{decimals}f}]"


def _training(one: Comparison, decimals: int, level: float | None) -> str:
    """Return the deviation over trainings of each trained method; with a level also the range of what it may be."""
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


def _images(need: Need, one: Comparison, short: bool = False) -> str:
    if need.images is not None:
        return str(need.images)
    if need.least_seeds is None:
        return "-" if short else "more images cannot help"
    least = f"{need.least_seeds} seeds"
    return f">={least}" if short else f"more images cannot help: at least {least}"


def _seeds(need: Need, one: Comparison) -> str:
    if not one.components.training:
        return "-"
    if not one.components.known:
        return "unknown"
    if need.seeds is not None:
        return str(need.seeds)
    least = f": at least {need.least_images} images" if need.least_images is not None else ""
    return f"more seeds cannot help{least}"


def _comparison_json(one: Comparison) -> dict[str, Any]:
    components = one.components
    return {
        "row": one.row,
        "images": one.found.n,
        "left_out": one.found.left_out,
        "seeds": {"baseline": one.seeds[0], "row": one.seeds[1]},
        "difference": {"mean": one.found.mean, "low": one.found.low, "high": one.found.high},
        "sd_images": math.sqrt(components.image),
        "sd_trainings": [math.sqrt(value) for value in components.training] if components.known else None,
        "sd_trainings_range": list(one.seed_sd_range) if one.seed_sd_range else None,
        "sd_image_x_training": [math.sqrt(value) for value in components.interaction] if components.known else None,
        "detectable": _finite(one.detectable),
        "gains": [dataclasses.asdict(need) for need in one.needs],
        "grid": [
            {"images": images, "seeds": seeds, "detectable": _finite(gain)}
            for (images, seeds), gain in one.grid.items()
        ],
        "cautions": list(one.cautions),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
