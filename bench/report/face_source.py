"""Faces for a figure: what runs keep of them, and what is made anew from a run's weights where it keeps none."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bench.analysis.results import FaceSet, Results, RowResult, RunResult
from bench.core.errors import UserError
from bench.data.degrade import degrade
from bench.data.store import FaceStore, open_split
from bench.metrics.protocol import get_protocol
from bench.models import registry
from bench.models.weights import find
from bench.runs.networks import open_run, run_record
from bench.runs.pictures import picture_path


@dataclass(frozen=True)
class FaceSource:
    """The faces of one test set of an experiment, as originals, as low resolution and as runs enlarge them."""

    results: Results
    test: FaceSet

    @property
    def _pictured(self) -> bool:
        return self.test == self.results.pictured

    @functools.cached_property
    def kept(self) -> tuple[str, ...]:
        """The faces that the experiment keeps pictures of, in the order of the test set."""
        folder = self.results.folder / "samples"
        names = self.results.samples if self._pictured else ()
        return tuple(name for name in names if picture_path(folder, f"{name}_hr").exists())

    @functools.cached_property
    def store(self) -> FaceStore | None:
        """The prepared faces of the test set; None where they are not here, or are others."""
        try:
            store = open_split(self.test.dataset, self.test.split)
        except UserError:
            return None
        same = len(store) >= self.test.faces and store.fingerprint_of(self.test.faces) == self.test.fingerprint
        return store if same else None

    def choices(self, rows: Sequence[RowResult]) -> tuple[str, ...]:
        """Return the faces that can be shown of all these rows: all of the test set, or those that are kept."""
        whole = self.store is not None and all(self._with_weights(row) is not None for row in rows)
        return tuple(self.store.names[: self.test.faces]) if whole and self.store else self.kept

    def original(self, name: str) -> np.ndarray:
        """Return HR, uint8 [H, W, 3]; raise UserError where it is neither kept nor prepared."""
        if name in self.kept:
            return _read(picture_path(self.results.folder / "samples", f"{name}_hr"))
        store = self.store
        if store is None or name not in store.names[: self.test.faces]:
            known = f"one of {', '.join(self.kept)}" if self.kept else "a prepared face of the test set"
            raise UserError(f"--faces {name}: no such face in {self.test.dataset}; expected {known}")
        return np.array(store.faces[store.names.index(name)])

    def low(self, name: str) -> np.ndarray:
        """Return LR, uint8 [h, w, 3]."""
        path = picture_path(self.results.folder / "samples", f"{name}_lr")
        if name in self.kept and path.exists():
            return _read(path)
        return np.asarray(degrade(self.original(name)[None], self._scale)[0])

    def enlarged(self, row: RowResult, names: Sequence[str]) -> tuple[RunResult, list[np.ndarray]]:
        """Return a run of the row and its pictures of the faces, uint8 [H, W, 3]; raises what `shown_run` does."""
        run = self.shown_run(row, names)
        if self._keeps(run, names):
            return run, [_read(picture_path(run.folder / "samples", name)) for name in names]
        return run, _enlarge(run, np.stack([self.low(name) for name in names]))

    def shown_run(self, row: RowResult, names: Sequence[str]) -> RunResult:
        """Return the row's first run that keeps pictures of these faces, else its first that can make them.

        Raises UserError where the row has neither.
        """
        runs = row.scored_runs(self.test, self.results.protocol)
        run = next((run for run in runs if self._keeps(run, names)), None) or self._with_weights(row)
        if run is None:
            about = f"keeps pictures of {', '.join(self.kept)} alone" if self.kept and runs else "keeps no pictures"
            raise UserError(f"{self.results.folder}: {row.label} {about} and no weights; give other --faces or --rows")
        return run

    def _keeps(self, run: RunResult, names: Sequence[str]) -> bool:
        return self._pictured and all(picture_path(run.folder / "samples", name).exists() for name in names)

    @functools.cached_property
    def _scale(self) -> int:
        runs = (run for row in self.results.rows for run in row.scored_runs(self.test, self.results.protocol))
        return run_record(next(runs).folder).config.scale

    def score(self, run: RunResult, metric: str, name: str) -> float | None:
        """Return a run's score of a face under the experiment's protocol."""
        return run.values(self.test, self.results.protocol, metric).get(name)

    def _with_weights(self, row: RowResult) -> RunResult | None:
        runs = row.scored_runs(self.test, self.results.protocol)
        return next((run for run in runs if not row.foreign and (not run.trained or find(run.folder))), None)


def _enlarge(run: RunResult, lr: np.ndarray) -> list[np.ndarray]:
    """Return what a run's network makes of uint8 [N, h, w, 3]."""
    import torch

    from bench.runs.evaluate import Enlarger

    config, device = run_record(run.folder).config, torch.device("cpu")
    model = open_run(run.folder).load(device) if run.trained else registry.build(config.method, config.options).eval()
    rule, pictures = get_protocol(config.protocol), list[np.ndarray]()
    for sr in Enlarger(model, device, config.draws[0])(lr):
        shown = torch.nan_to_num(sr, nan=0.0, posinf=1.0, neginf=0.0)
        pictures += list(rule.to_uint8(shown).permute(0, 2, 3, 1).cpu().numpy())
    return pictures


def _read(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as file:
            return np.asarray(file.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow raises for damage
        raise UserError(f"{path}: not a whole picture ({error}); run the experiment again") from None
