"""Training curves as TensorBoard logs, written anew from the run folders whenever asked: runs know nothing of it."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.core.errors import UserError
from bench.core.files import read_csv
from bench.runs.records import read_experiment_record
from bench.runs.store import CURVE


def write_logs(experiment: Path, folder: Path) -> list[Path]:
    """Write loss, its terms, validation PSNR (dB) and learning rate of an experiment's runs; return a folder a run.

    The logs of the same runs in `folder` are replaced. Raises UserError without tensorboardX and for damaged results.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise UserError("tensorboardX is not installed: pip install 'fsr-bench[tensorboard]'") from None
    written = []
    record = read_experiment_record(experiment)
    for name in record.run_names:
        curve, target = record.run_folder(experiment, name) / "curve.csv", folder / name
        if not curve.exists():
            continue
        shutil.rmtree(target, ignore_errors=True)
        writer = SummaryWriter(str(target), write_to_disk=True)
        for point in read_csv(curve, CURVE, more=True):
            for key, value in point.items():
                if key != "iteration" and value:
                    writer.add_scalar(key, float(value), int(point["iteration"]))
        writer.close()
        written.append(target)
    return written
