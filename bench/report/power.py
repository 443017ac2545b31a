"""Comparisons of `fsr power` as JSON values and as text for a terminal."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.analysis.study import Asked, Comparison, Need
from bench.core.text_table import text_table
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
        "comparisons": [_comparison_json(comparison) for comparison in comparisons],
    }


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    parts, estimate, spread = comparison.components, comparison.difference, comparison.seed_sd_range
    grid = comparison.grid.items()
    return {
        "row": comparison.row,
        "images": estimate.n,
        "left_out": estimate.left_out,
        "seeds": {"baseline": comparison.seeds[0], "row": comparison.seeds[1]},
        "difference": {"mean": estimate.mean, "low": estimate.low, "high": estimate.high},
        "sd_images": math.sqrt(parts.image),
        "sd_trainings": np.sqrt(parts.training).tolist() if parts.known else None,
        "sd_trainings_range": list(spread) if spread else None,
        "sd_image_x_training": np.sqrt(parts.interaction).tolist() if parts.known else None,
        "detectable": _finite(comparison.detectable),
        "gains": [dataclasses.asdict(need) for need in comparison.needs],
        "grid": [{"images": n, "seeds": seeds, "detectable": _finite(gain)} for (n, seeds), gain in grid],
        "cautions": list(comparison.cautions),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def power_text(setting: Setting, comparisons: Sequence[Comparison]) -> str:
    """Return a table of a line a row; of one row alone also what varies, and its grid."""
    metric, asked = setting.metric, setting.asked
    unit = f" ({metric.unit})" if metric.unit else ""
    head = (
        f"{metric.title}{unit} over {setting.baseline}, protocol {setting.protocol}, {setting.dataset}; "
        f"a gain is seen if the {100 * asked.level:g}% interval claims it with {100 * asked.power:g}% power"
    )
    about = "seen: the smallest gain that the images and seeds there are can show"
    about += "; for a gain: the images it takes, or, where more cannot help, the seeds" if asked.gains else ""
    parts = [head, _table(comparisons, asked, metric.decimals)]
    if len(comparisons) == 1:
        parts += [f"{about}.", *_details(comparisons[0], asked, metric.decimals)]
    else:
        parts.append(f"{about}. --row ROW tells more.")
    parts += dict.fromkeys(f"Caution: {caution}." for each in comparisons for caution in each.cautions)
    return "\n\n".join(part if "\n" in part else textwrap.fill(part, _WIDTH) for part in parts)


def _table(comparisons: Sequence[Comparison], asked: Asked, decimals: int) -> str:
    rows = [
        [
            comparison.row,
            gain_cell(comparison.difference, decimals).text,
            f"{math.sqrt(comparison.components.image):.{decimals}f}",
            _over_seeds(comparison, decimals),
            _gain(comparison.detectable, decimals),
            *map(_images, comparison.needs),
        ]
        for comparison in comparisons
    ]
    return text_table(
        ["row", "difference", "sd images", "sd seeds", "seen", *(f"for {gain:g}" for gain in asked.gains)], rows
    )


def _over_seeds(comparison: Comparison, decimals: int) -> str:
    """Return the deviation over seeds of each trained method, the row's first."""
    if not comparison.components.known:
        return "unknown"
    return " and ".join(f"{math.sqrt(value):.{decimals}f}" for value in comparison.components.training) or "-"


def _images(need: Need) -> str:
    if need.images is not None:
        return str(need.images)
    return "-" if need.least_seeds is None else f">={need.least_seeds} seeds"


def _gain(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if math.isfinite(value) else "none"


def _details(comparison: Comparison, asked: Asked, decimals: int) -> list[str]:
    """Return what there is, how sure the deviation over seeds is, the seeds that gains take, and the grid."""
    images, (of_baseline, of_row) = comparison.difference.n, comparison.seeds
    facts = [f"images: {images}; seeds: {of_row}, of the baseline {of_baseline}"]
    if comparison.seed_sd_range is not None:
        low, high = comparison.seed_sd_range
        spread = f"{low:.{decimals}f} to {high:.{decimals}f} at {100 * asked.level:g}%"
        facts.append(f"deviation over seeds, if that of both is alike: {spread}")
    facts += [f"a gain of {need.gain:g}: {_seeds(need, comparison)}" for need in comparison.needs]
    seeds = sorted({count for _, count in comparison.grid})
    counts = sorted({count for count, _ in comparison.grid})
    grid = [[count, *(_gain(comparison.grid[count, each], decimals) for each in seeds)] for count in counts]
    table = text_table(["images", *(f"{each} seed{'s' * (each > 1)}" for each in seeds)], grid, align="r")
    return ["\n".join(facts), f"Smallest gain seen with other numbers of images and seeds\n{table}"]


def _seeds(need: Need, comparison: Comparison) -> str:
    if not comparison.components.training:
        return "neither of the two is trained"
    if not comparison.components.known:
        return "the seeds it takes are unknown"
    if need.seeds is not None:
        return f"{need.seeds} seeds with these images"
    least = f": at least {need.least_images} images" if need.least_images is not None else ""
    return f"more seeds cannot help{least}"
