"""The run store: one folder a run, named by its config's hash, every file written whole.

results/<experiment>/<run>/run.json             config, status, device, versions, times
                           curve.csv            a row a validation
                           scores.csv           a row an image and metric
                           weights.safetensors  the weights that were scored
                           state.pt             training state, until the run has finished
                           samples/<image>.png  a few super-resolved test faces
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from bench.config import RunConfig
from bench.errors import UserError
from bench.files import read_csv, read_json, write_bytes, write_csv, write_json

LAYOUT = 1
CURVE = ("iteration", "loss", "psnr", "learning_rate")
SCORE = ("run", "method", "seed", "dataset", "fingerprint", "image", "metric", "protocol", "value")


@dataclass(frozen=True)
class Run:
    """One run of one config in a folder of its own under an experiment's results."""

    experiment: Path
    config: RunConfig

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.experiment / self.config.name

    @property
    def weights(self) -> Path:
        """Where the finished weights lie."""
        return self.folder / "weights.safetensors"

    @property
    def state(self) -> Path:
        """Where the training state lies until the run has finished."""
        return self.folder / "state.pt"

    def record(self) -> dict[str, Any]:
        """Return run.json, or an empty record when the run was never started.

        Raises UserError when the file is damaged, of another layout, or of another config than its folder's name says.
        """
        path = self.folder / "run.json"
        if not path.exists():
            return {}
        record = read_json(path)
        check_layout(record, path)
        if record.get("id") != self.config.id:
            raise UserError(f"{path}: belongs to run {record.get('id')}, expected {self.config.id}; move it away")
        return dict(record)

    def write(self, **changes: Any) -> None:
        """Update fields of run.json."""
        head = {
            "layout": LAYOUT,
            "id": self.config.id,
            "name": self.config.name,
            "config": dataclasses.asdict(self.config),
        }
        write_json(self.folder / "run.json", {**self.record(), **head, **changes})

    @property
    def trained(self) -> bool:
        """Whether training has ended well and its weights are there (nothing to train: always)."""
        return self.config.training is None or ("trained" in self.record() and self.weights.exists())

    def write_curve(self, points: Iterable[Mapping[str, float]]) -> None:
        """Replace the training curve."""
        write_csv(self.folder / "curve.csv", CURVE, points)

    def scores(self) -> list[dict[str, str]]:
        """Return the score rows written so far."""
        path = self.folder / "scores.csv"
        return read_csv(path, SCORE) if path.exists() else []

    def add_scores(self, rows: list[dict[str, Any]]) -> None:
        """Add score rows; those of the same face set, protocol and metric are replaced."""
        what = itemgetter("fingerprint", "protocol", "metric")
        new = set(map(what, rows))
        kept = [row for row in self.scores() if what(row) not in new]
        write_csv(self.folder / "scores.csv", SCORE, [*kept, *rows])

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Replace the training state, in one step."""
        import torch

        out = io.BytesIO()
        torch.save({"config": self.config.id, **state}, out)
        write_bytes(self.state, out.getvalue())

    def load_state(self) -> dict[str, Any] | None:
        """Return the training state, or None when there is none; no pickled code is ever run.

        Raises UserError when the file is truncated, not a checkpoint, or another run's.
        """
        import torch

        if not self.state.exists():
            return None
        try:
            state = torch.load(self.state, map_location="cpu", weights_only=True)
        except OSError:
            raise
        except Exception as error:
            raise UserError(
                f"{self.state}: not a whole checkpoint ({type(error).__name__}); "
                "delete it to train this run from the start"
            ) from None
        if not isinstance(state, dict) or state.get("config") != self.config.id:
            raise UserError(f"{self.state}: checkpoint of another run; delete it to train this run from the start")
        return state


def check_layout(record: Mapping[str, Any], path: Path) -> None:
    """Raise UserError when a results file was written by another layout of the run store."""
    found = record.get("layout") if isinstance(record, Mapping) else None
    if found != LAYOUT:
        raise UserError(
            f"{path}: results layout {found}, this version reads layout {LAYOUT}; "
            "move the folder away and run again, or use the version that wrote it"
        )
