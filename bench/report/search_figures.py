"""Optuna's pictures of a search, in this suite's type sizes: trials over parallel axes, and importance."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import matplotlib
from matplotlib import pyplot

from bench.report.curves import figure_bytes, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from optuna import Study

_SIZE = (6.4, 3.6)  # inches


def draw_parallel(study: Study) -> dict[str, bytes]:
    """Return parallel.png and .pdf: a line a finished trial through its PSNR and its values."""
    from optuna.visualization.matplotlib import plot_parallel_coordinate

    return _draw("parallel", lambda: plot_parallel_coordinate(study, target_name="PSNR (dB)"))


def draw_importance(study: Study) -> dict[str, bytes]:
    """Return importance.png and .pdf: a bar a key."""
    from optuna.visualization.matplotlib import plot_param_importances

    return _draw("importance", lambda: plot_param_importances(study, target_name="PSNR (dB)"))


def _draw(name: str, plot: Callable[[], Axes]) -> dict[str, bytes]:

    with settings(), matplotlib.rc_context({"backend": "agg", "text.parse_math": True}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "experimental"
        figure = plot().get_figure(root=True)
        assert figure is not None
        try:
            figure.set_size_inches(_SIZE)
            figure.axes[0].set_title("")
            figure.axes[0].xaxis.label.set_fontsize("medium")
            figure.axes[0].yaxis.label.set_fontsize("medium")
            figure.axes[0].tick_params(axis="x", labelrotation=0)
            figure.tight_layout()
            return {f"{name}.{kind}": figure_bytes(figure, kind) for kind in ("png", "pdf")}
        finally:
            pyplot.close(figure)
