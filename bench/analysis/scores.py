"""All scores of an experiment in one frame: a row an image of a run, a column a metric and protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from bench.analysis.results import Results

KEYS = ("row", "method", "seed", "run", "dataset", "fingerprint", "image")


def score_frame(results: Results) -> pd.DataFrame:
    """Return the scores of every run as a frame with the columns `KEYS` and one a metric and protocol.

    Such a column is called as in the files, e.g. `psnr@sparnet`; NaN stands for what was not scored, and for scores
    that are undefined. Rows come in the order of the experiment's, seed by seed, then test set by test set.
    """
    frames = []
    for row in results.rows:
        for run in row.runs:
            for sheet in run.scores.values():
                frame = pd.DataFrame({name: pd.Series(column, dtype=float) for name, column in sheet.columns.items()})
                frame = frame.assign(row=row.label, method=row.method, seed=run.seed, run=run.name)
                frame = frame.assign(dataset=sheet.dataset, fingerprint=sheet.fingerprint, image=sheet.images)
                frames.append(frame[[*KEYS, *sheet.columns]])
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(KEYS))
