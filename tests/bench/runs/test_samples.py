"""Several samples of each face from a method that draws: means of their scores, their spread, and who may ask."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.analysis.results import read_results
from bench.cli.main import main
from bench.core import paths
from bench.data.store import FaceRow, FaceStore, open_split, write_store
from bench.metrics.catalogue import catalogue
from bench.metrics.protocol import get_protocol, unit
from bench.metrics.spec import Batch
from bench.models import registry
from bench.runs import evaluate as evaluation
from bench.runs.config import RunConfig
from bench.runs.evaluate import Enlarger, Evaluation, evaluate, low_resolution, score_pictures
from bench.runs.store import Run
from tests.bench.conftest import smooth_faces

PLUGIN = Path(__file__).parents[2] / "drawing_method.py"
ROWS = """
title = "Small"
kind = "comparison"
baseline = "bicubic"
metrics = ["psnr", "ssim"]
[[rows]]
method = "bicubic"
[[rows]]
method = "drawing"
label = "One"
[[rows]]
method = "drawing"
label = "Three"
samples = 3
[[rows]]
method = "learnt"
samples = 2
"""
PROFILE = """
note = "nothing is trained"
generate = { train = 1, val = 1, test = 4 }
[training]
iterations = 1
"""
CPU, FACES = torch.device("cpu"), 5


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "rows.toml").write_text(ROWS)
    (tmp_path / "short.toml").write_text(PROFILE)
    for name, value in {"FSR_ROOT": tmp_path, "FSR_CACHE": tmp_path / "cache", "FSR_TIMING_SECONDS": "0.01"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(registry, "_plugins", [])
    monkeypatch.setattr(registry, "_catalogue", None)
    registry.add_plugin(PLUGIN)
    for seed, split in enumerate(("train", "val", "test")):
        rows = [FaceRow(f"{split}-{place}") for place in range(FACES)]
        write_store(paths.prepared() / "photos" / split, rows, enumerate(smooth_faces(FACES, seed)), {})
    return tmp_path


def config_of(method: str = "drawing", samples: int = 1) -> RunConfig:
    return RunConfig(method, registry.options(method, {}), 8, 0, "sparnet", samples=samples)


def scored(samples: int, store: FaceStore, *metrics: str) -> Evaluation:
    config = config_of(samples=samples)
    model = registry.build(config.method, config.options)
    return evaluate(Run(Path(), config), model, store, FACES, CPU, pictures=2, metrics=metrics or ("psnr", "ssim"))


def run(root: Path, *more: str) -> int:
    given = ["--profile", str(root / "short.toml"), "--data", "photos", "--device", "cpu", "--jobs", "1"]
    return main(["run", str(root / "rows.toml"), *given, "--plugin", str(PLUGIN), *more])


def test_scores_are_means_over_samples_and_their_spread_is_kept() -> None:
    store = open_split("photos", "test")
    result, config = scored(3, store), config_of(samples=3)
    lr, model = low_resolution(store.faces[:], 8), registry.build("drawing", config.options)
    pictures = [torch.cat(list(Enlarger(model, CPU, key)(lr))) for key in config.draws]
    assert len(pictures) == 3 and not torch.equal(pictures[1], pictures[2])
    for metric in ("psnr", "ssim"):
        alone = np.array([score_pictures(sr, store.faces[:], "sparnet", [metric])[metric] for sr in pictures])
        assert list(result.scores.values(metric, "sparnet").values()) == pytest.approx(alone.mean(0))
        assert result.samples is not None
        assert result.samples.spread[f"{metric}@sparnet"] == pytest.approx(alone.std(0, ddof=1).mean()) != 0
    levels = np.stack([get_protocol("sparnet").to_uint8(sr).numpy() for sr in pictures])
    assert result.samples is not None and result.samples.count == 3
    assert result.samples.diversity == {"levels": pytest.approx(levels.astype(float).std(0, ddof=1).mean(), rel=1e-5)}
    (one,) = {scored(1, store).pictures.tobytes(), result.pictures.tobytes()}
    assert one == levels[0, :2].transpose(0, 2, 3, 1).tobytes(), "the first is that of one sample"


def test_samples_do_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    store, results = open_split("photos", "test"), []
    for batch in (1, 2, 16):
        monkeypatch.setattr(evaluation, "BATCH", batch)
        results.append(scored(2, store))
    assert results[0].scores == results[1].scores == results[2].scores
    assert results[0].samples == results[1].samples == results[2].samples


def test_two_samples_are_told_apart_by_lpips_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here by a stand-in, the mean absolute difference, for its weights may not be at hand."""

    def differ(batch: Batch) -> torch.Tensor:
        assert batch.hr is not None
        return (unit(batch.sr) - unit(batch.hr)).abs().mean((1, 2, 3)).double()

    stand_in = type(metric := catalogue()["lpips-alex"])(
        **{
            **{name: getattr(metric, name) for name in metric.__dataclass_fields__},
            "compute": differ,
            "parameters": dict,
        }
    )
    monkeypatch.setitem(catalogue(), "lpips-alex", stand_in)
    store, config = open_split("photos", "test"), config_of(samples=3)
    result = scored(3, store, "psnr", "lpips-alex")
    lr, model = low_resolution(store.faces[:], 8), registry.build("drawing", config.options)
    saved = get_protocol("sparnet").to_uint8
    made = [saved(torch.cat(list(Enlarger(model, CPU, key)(lr)))).float() / 255 for key in config.draws]
    pairs = [float((a - b).abs().mean()) for a, b in itertools.combinations(made, 2)]
    assert result.samples is not None
    assert result.samples.diversity["lpips-alex"] == pytest.approx(np.mean(pairs), rel=1e-5)
    assert "psnr@sparnet" in result.samples.spread and "psnr" not in result.samples.diversity


def test_a_row_may_ask_for_several_samples(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root) == 0
    results = read_results(paths.results() / "rows-short-photos")
    _, one, three, learnt = (row.runs[0] for row in results.rows)
    assert one.name != three.name and not one.samples
    assert one.name.endswith(config_of().id)
    (test,) = results.test
    samples = three.samples[test.fingerprint]
    assert samples.count == 3 and samples.spread["psnr@sparnet"] > 0 < samples.diversity["levels"]
    told = f"whose standard deviation is on average {samples.spread['psnr@sparnet']:.2g} dB of PSNR"
    assert told in capsys.readouterr().out
    score = ["score", "--weights", str(learnt.folder), "--data", "photos", "--plugin", str(PLUGIN)]
    assert main([*score, "--faces", "4", "--metric", "psnr", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    kept = learnt.values(test, "sparnet", "psnr")
    assert {face["image"]: face["value"] for face in again["images"]}.items() <= kept.items()
    assert again["samples"]["count"] == 2


@pytest.mark.parametrize("method", ["bicubic", "steady"])
def test_what_does_not_draw_has_no_samples(root: Path, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "rows.toml").write_text(ROWS + f'[[rows]]\nmethod = "{method}"\nlabel = "Same"\nsamples = 2\n')
    assert run(root) == 2
    refused = f"row Same: samples: 2 asked, but method '{method}' draws nothing at random, each would be the same"
    assert capsys.readouterr().err.strip().splitlines()[-1].endswith(f"{refused}; leave it out")
    (root / "rows.toml").write_text(ROWS + f'[[rows]]\nlabel = "Same"\npictures = "{root}"\nsamples = 2\n')
    assert run(root) == 2 and "samples: not together with pictures" in capsys.readouterr().err
