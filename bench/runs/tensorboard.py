"""Training curves as TensorBoard logs, written anew from the run folders whenever asked: runs know nothing of it."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.core.errors import UserError
from bench.core.files import read_csv
from bench.runs.failures import Failures
from bench.runs.records import RunState, read_experiment_record, read_run_record
from bench.runs.store import CURVE


def write_logs(experiment: Path, folder: Path) -> list[Path]:
    """Write loss, its terms, validation PSNR (dB) and learning rate of an experiment's runs; return a folder a run.

    Of a run that is scored also how many faces of each test set it fails on, at its last iteration, and which.
    The logs of the same runs in `folder` are replaced. Raises UserError without tensorboardX and for damaged results.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise UserError("tensorboardX is not installed: pip install 'fsr-bench[tensorboard]'") from None
    written = []
    record = read_experiment_record(experiment)
    failures = Failures(experiment, record)
    for name in record.run_names:
        run, target = record.run_folder(experiment, name), folder / name
        curve, own, last = run / "curve.csv", read_run_record(run), 0
        if not curve.exists():
            continue
        shutil.rmtree(target, ignore_errors=True)
        writer = SummaryWriter(str(target), write_to_disk=True)
        for point in read_csv(curve, CURVE, more=True):
            last = int(point["iteration"])
            for key, value in point.items():
                if key != "iteration" and value:
                    writer.add_scalar(key, float(value), last)
        for failing in failures.of(run, own) if own and own.status is RunState.FINISHED else ():
            if failing.failures is not None:
                writer.add_scalar(f"failing faces/{failing.test.dataset}", len(failing.failures), last)
                writer.add_text(f"failing faces/{failing.test.dataset}", str(failing) or "fails on none", last)
        writer.close()
        written.append(target)
    return written
