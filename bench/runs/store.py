"""The run store: one folder a run, named by its config's hash, every file written whole.

results/<experiment>/<run>/run.json             config, state, device, versions, times, how far it is
                           curve.csv            a row a validation
                           scores/<set>.csv     a row an image of a test set (.csv.xz where runs are kept)
                           weights.safetensors  the weights that were scored
                           state.pt             training state, until the run has finished
                           state.previous.pt    the one before it, should a power cut have damaged the last
                           samples/<image>.png  a few super-resolved test faces (.webp where runs are kept)
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.errors import LeftAloneError, UserError
from bench.core.files import sha256_of, sweep, write_bytes, write_csv
from bench.core.locks import is_locked, lock
from bench.models import weights
from bench.runs.config import RunConfig
from bench.runs.digests import UNDER_WAY, check, digests_of
from bench.runs.records import RUN_FILE, RunRecord, read_run_record, write_run_record
from bench.runs.scores import FOLDER, Scores, ScoreSheet, of_today, read_scores, rules_of, write_sheet

log = logging.getLogger("fsr")
_MARK = b"fsr-sha256:"  # before the digest that a state ends with; torch by itself notices no flipped bit
_TAIL = len(_MARK) + 64
CURVE = ("iteration", "loss", "psnr", "learning_rate")


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
    def samples(self) -> Path:
        """Where its pictures lie."""
        return self.folder / "samples"

    @property
    def weights(self) -> Path:
        """Where the finished weights lie."""
        return self.folder / "weights.safetensors"

    @property
    def state(self) -> Path:
        """Where the training state lies until the run has finished."""
        return self.folder / "state.pt"

    @property
    def previous(self) -> Path:
        """Where the training state before that lies."""
        return self.folder / "state.previous.pt"

    @contextlib.contextmanager
    def claim(self, wait: bool = False) -> Iterator[bool]:
        """Hold the run for this process alone; give whether it is held. What a killed process half wrote is removed.

        Another process that holds it is waited for with `wait`, else False is given. The system lets go of a lock when
        its process dies, however that happens, so none is ever left behind.
        """
        with lock(self.lock, wait) as held:
            if held:
                for folder in (self.folder, self.samples):
                    sweep(folder)
            yield held

    @property
    def lock(self) -> Path:
        """The file that is locked while a process works on the run."""
        return _lock(self.experiment, self.config.name)

    def record(self) -> RunRecord:
        """Return run.json, or a new record when the run was never started.

        Raises UserError when the file is damaged, of another layout, or of another config than its folder's name says.
        """
        record = read_run_record(self.folder)
        if record is None:
            return RunRecord.new(self.config)
        if record.id != self.config.id:
            path = self.folder / RUN_FILE
            raise UserError(f"{path}: belongs to run {record.id}, expected {self.config.id}; move it away")
        return record

    def write(self, **changes: Any) -> None:
        """Update fields of run.json."""
        write_run_record(self.folder, dataclasses.replace(self.record(), config=self.config, **changes))

    @property
    def trained(self) -> bool:
        """Whether training or the import of a checkpoint has ended well and left its weights (neither: always)."""
        return not self.config.has_weights or (self.record().trained is not None and self.weights.exists())

    def write_curve(self, points: Iterable[Mapping[str, float]]) -> None:
        """Replace the training curve; an objective's terms come after the columns of CURVE, empty where not yet."""
        points = list(points)
        columns = dict.fromkeys([*CURVE, *(name for point in points for name in point)])
        write_csv(self.folder / "curve.csv", list(columns), points)

    def scores(self) -> Scores:
        """Return the scores written so far, without those of presets that say something else today."""
        record = self.record()
        check(self.folder, record.digests, FOLDER)
        return of_today(read_scores(self.folder), record.rules)

    @property
    def settled(self) -> bool:
        """Whether no scores are gone, and none were under way when a process was killed."""
        return all(
            digest and (self.folder / name).exists()
            for name, digest in self.record().digests.items()
            if name.startswith(FOLDER)
        )

    def add_scores(self, sheets: Iterable[ScoreSheet]) -> None:
        """Write the scores of test sets; a set's columns that were there before and are not given again are kept."""
        known, digests = self.scores(), self.record().digests
        merged = [known.on(sheet.dataset, sheet.fingerprint).merged(sheet) for sheet in sheets]
        others = {name: digest for name, digest in digests.items() if not name.startswith(FOLDER)}
        before = digests_of(self.folder, [FOLDER])  # they are as they were, or an older version wrote them
        self.write(digests=others | before | {f"{FOLDER}/{sheet.file_name}": UNDER_WAY for sheet in merged})
        paths = [write_sheet(self.folder, sheet) for sheet in merged]
        rules = {**self.record().rules, **{sheet.fingerprint: rules_of(sheet) for sheet in merged}}
        self.write(
            digests=others | before | {f"{FOLDER}/{path.name}": sha256_of(path) for path in paths},
            rules={fingerprint: own for fingerprint, own in rules.items() if own},
        )

    def drop_scores(self) -> None:
        """Remove all scores: those of weights that are gone say nothing of the next ones."""
        shutil.rmtree(self.folder / FOLDER, ignore_errors=True)

    def check(self) -> None:
        """Raise LeftAloneError where weights, curve or scores are not what was written, or weights are not whole."""
        digests = self.record().digests
        check(self.folder, digests)
        check(self.folder, digests if self.weights.exists() else {}, "curve", whole=True)
        if self.weights.exists() and self.weights.name not in digests:
            try:
                weights.check_whole(self.weights)
            except UserError as error:
                raise LeftAloneError(str(error)) from None

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Replace the training state, in one step; the one before it is kept."""
        import torch

        out = io.BytesIO()
        torch.save({"config": self.config.id, **state}, out)
        if self.state.exists():
            self.state.replace(self.previous)
        write_bytes(self.state, out.getvalue() + _MARK + _digest(out.getvalue()))

    def load_state(self) -> dict[str, Any] | None:
        """Return the training state, or None when there is none; no pickled code is ever run.

        A state that a power cut has damaged is removed where the one before it is whole, and that one is returned.
        Raises UserError when none is whole, or it is another run's; the files are then left alone.
        """
        damaged: list[str] = []
        for path in (self.state, self.previous):
            if not path.exists():
                continue
            try:
                state = _read_state(path)
            except _DamagedError as error:
                damaged.append(f"{path}: not a whole checkpoint ({error})")
                continue
            if state.get("config") != self.config.id:
                raise UserError(f"{path}: checkpoint of another run; delete it to train this run from the start")
            if damaged:
                log.warning("%s; going on from the one before it", damaged[0])
                self.state.unlink()
            return state
        if damaged:
            raise UserError(f"{damaged[0]}; delete it to train this run from the start")
        return None

    def drop_state(self) -> None:
        """Remove the training state of a run that has finished."""
        self.state.unlink(missing_ok=True)
        self.previous.unlink(missing_ok=True)


def is_held(experiment: Path, name: str) -> bool:
    """Tell whether a process on this machine, or on one that shares the folder and its locks, is at work on a run."""
    return is_locked(_lock(experiment, name))


def _lock(experiment: Path, name: str) -> Path:
    return experiment / ".locks" / f"{name}.lock"


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


class _DamagedError(Exception):
    """A file is no whole checkpoint."""


def _read_state(path: Path) -> dict[str, Any]:
    """Read a checkpoint as plain tensors and numbers; raise _DamagedError for anything else."""
    import torch

    try:
        content = path.read_bytes()
        body, mark, digest = content[:-_TAIL], content[-_TAIL:][: len(_MARK)], content[-_TAIL:][len(_MARK) :]
        if mark == _MARK and digest != _digest(body):
            raise _DamagedError("its SHA-256 is another")
        state = torch.load(io.BytesIO(body if mark == _MARK else content), map_location="cpu", weights_only=True)
    except (OSError, _DamagedError):
        raise
    except Exception as error:  # what torch.load raises depends on the damage
        raise _DamagedError(type(error).__name__) from None
    if not isinstance(state, dict):
        raise _DamagedError(type(state).__name__)
    return state
