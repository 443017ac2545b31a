"""The page beside kept weights: what the network is, what it was trained on and how well it does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.models import weights
from bench.runs.failures import Failing, Failures
from bench.runs.networks import run_record
from bench.runs.records import ExperimentRecord, FaceSetRecord
from bench.runs.scores import read_scores


def model_card(folder: Path, experiment: ExperimentRecord, label: str) -> str:
    """Return the model card of the kept run in `folder` of an experiment whose row is called `label`."""
    record = run_record(folder)
    config, training = record.config, record.config.training
    assert training is not None
    pictured = experiment.pictured or experiment.test[0]
    train = experiment.train
    tests = [test for test in (*experiment.test, pictured) if test.truth]
    failing = Failures(folder.parent, experiment).of(folder, record, [pictured])
    lines = [f"- It {text}." for text in dict.fromkeys(map(str, failing)) if text]
    return "\n".join(
        [
            f"# {label}, seed {config.seed}",
            "",
            f"`{config.method}` for x{config.scale} face super-resolution with the options "
            + ", ".join(f"`{name} = {_plain(value)}`" for name, value in config.options.items())
            + ".",
            "",
            f"- **Files**: {', '.join(path.name for path in weights.find(folder))}: kernels and matrices fp16, "
            "vectors fp32. `fsr upscale` reads them.",
            f"- **Trained on** {train.dataset} ({train.faces:,} faces, {train.fingerprint[:12]}): "
            f"{training.iterations:,} iterations of batch {training.batch}, Adam {training.learning_rate:g} "
            f"{tuple(training.betas)}, {training.schedule}; {(record.train_seconds or 0) / 60:.0f} minutes on "
            f"{record.device}. Budget: {experiment.profile_note}.",
            f"- **Parameters** {record.parameters or 0:,}; multiply-adds {(record.multiply_adds or 0) / 1e9:.3f} G.",
            "- **Licence**: for research only, as the photographs that it was trained on.",
            "- **Not for** identifying people: what it adds to a face is made up.",
            "",
            f"Scores of these weights on the default faces ({pictured.dataset}), and of the fp32 weights that they "
            f"were rounded from on the others; protocol {experiment.protocol}:",
            "",
            "| test faces | number | PSNR (dB) | SSIM | failing faces |",
            "|---|---|---|---|---|",
            *(_scores(folder, experiment, test, failing) for test in tests),
            "",
            *([*lines, ""] if lines else []),
        ]
    )


def _scores(folder: Path, experiment: ExperimentRecord, test: FaceSetRecord, failing: Sequence[Failing]) -> str:
    sheet = read_scores(folder).on(test.dataset, test.fingerprint)
    psnr, ssim = (sheet.mean(metric, experiment.protocol) for metric in ("psnr", "ssim"))
    texts = ["-" if psnr is None else f"{psnr:.3f}", "-" if ssim is None else f"{ssim:.4f}"]
    (failures, *_) = (each.failures for each in failing if each.test == test)
    texts.append("-" if failures is None else str(len(failures)))
    return f"| {test.dataset} | {test.faces:,} | {' | '.join(texts)} |"


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
