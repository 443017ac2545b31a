"""NIQE refitted on pristine pictures of one's own: the command, the names in rows, and values that never mix."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.cli.main import main
from bench.core import paths
from bench.core.errors import UserError
from bench.core.machine import one_thread
from bench.data.degrade import degrade, upsample
from bench.data.store import FaceRow, write_store
from bench.metrics import niqe
from bench.metrics.cache import ScoreCache
from bench.metrics.catalogue import get_metric, get_metrics
from bench.metrics.niqe import pooled, pristine, read_pristine
from bench.metrics.niqe_features import describe
from bench.metrics.niqe_fit import fit
from bench.metrics.protocol import PROTOCOLS
from bench.metrics.scoring import Scorer
from bench.metrics.spec import Described
from bench.runs.evaluate import to_tensor
from tests.bench.cli.test_cli import error_of, run_json
from tests.bench.metrics.test_niqe import textured


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in a folder of the test and know no files of other tests."""
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(niqe, "_known", {})
    with one_thread():  # two wait for each other where something else is at work
        yield


def save(pictures: np.ndarray, folder: str) -> None:
    Path(folder).mkdir(exist_ok=True)
    for place, picture in enumerate(pictures):
        Image.fromarray(picture).save(Path(folder) / f"{len(picture)}-{place:03}.png")


def prepare(pictures: np.ndarray, split: str) -> None:
    rows = [FaceRow(f"{split}-{place}") for place in range(len(pictures))]
    write_store(paths.prepared() / "mine" / split, rows, enumerate(pictures), {})


def score(names: list[str], pictures: np.ndarray, cache: ScoreCache | None = None) -> dict[str, np.ndarray]:
    """Return metric -> values of pictures, uint8 [N, H, W, 3]."""
    scorer = Scorer(get_metrics(names), [PROTOCOLS["rgb"]], cache=cache)
    scorer.add(to_tensor(pictures))
    return {metric: values for (_, metric), values in scorer.finish().values.items()}


def test_fitted_on_a_folder_of_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    save(textured(14, 192, 200), "good")
    save(textured(8, 128, 128), "good")
    save(textured(1, 95, 300), "good")
    Path("good/link.png").symlink_to("gone.png")
    found = run_json(["fit-niqe", "--pictures", "good", "--out", "mine.json", "--stride", "96"], capsys)
    kept = json.loads(Path("mine.json").read_text())
    assert found["pristine"] == hashlib.sha256(Path("mine.json").read_bytes()).hexdigest()[:12]
    assert (found["pictures"], found["too_small"], found["block"], found["stride"]) == (22, 1, 96, 96)
    assert found["blocks"] == kept["blocks"] <= 14 * 4 + 8
    fit([*textured(8, 128, 128), *textured(14, 192, 200)], Path("other.json"), stride=96)
    expected, known = (read_pristine(Path(name)) for name in ("other.json", "mine.json"))
    assert known.mean == pytest.approx(expected.mean) and known.covariance == pytest.approx(expected.covariance)
    assert found["metrics"] == ["niqe-pooled:mine.json", "niqe:mine.json", "niqe-tiled:mine.json"]


def test_where_nothing_can_be_written_is_said_first(capsys: pytest.CaptureFixture[str]) -> None:
    Path("folder").mkdir()
    Path("folder/mine.json").touch()
    for out, what in (
        ("folder", "a folder or device; expected the name of a file"),
        ("/dev/null", "a folder or device; expected the name of a file"),
        ("folder/mine.json/x", "folder/mine.json is no folder; give another"),
    ):
        assert error_of(["fit-niqe", "--pictures", "none", "--out", out], capsys).endswith(what)


def test_what_is_not_sharp_is_left_out() -> None:
    pictures = textured(22, 192, 192, 5)
    pictures[:, :, 96:] = pictures[:, :, 96:] // 16 + 100
    fit(pictures, Path("half.json"), stride=96)
    left = describe(pictures, 96, 96).reshape(22, 4, 36)[:, [0, 2]].reshape(-1, 36)
    assert read_pristine(Path("half.json")).mean == pytest.approx(left.mean(0), rel=0.1, abs=0.05)


def test_fitted_on_a_prepared_set(capsys: pytest.CaptureFixture[str]) -> None:
    faces = textured(30, 128, 128)
    prepare(faces, "train")
    found = run_json(["fit-niqe", "--data", "mine", "--faces", "20", "--out", "mine.json"], capsys)
    assert (found["pictures"], found["stride"], found["split"]) == (20, 32, "train")
    blocks = describe(faces[:20], 96, 32).reshape(-1, 36)
    assert 60 < found["blocks"] <= len(blocks), "four blocks a face, less those that are flatter than its sharpest"
    assert read_pristine(Path("mine.json")).mean == pytest.approx(blocks.mean(0), rel=0.05, abs=0.05)


def test_a_score_tells_its_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    for split, seed in (("train", 1), ("test", 2)):
        prepare(textured(30, 128, 128, seed), split)
    digest = run_json(["fit-niqe", "--data", "mine", "--out", "my faces.json"], capsys)["pristine"]
    names = ["niqe-pooled", "niqe-pooled:my faces.json", "niqe-tiled:my faces.json"]
    arguments = [argument for name in names for argument in ("--metric", name)]
    found = run_json(["score", "bicubic", "--data", "mine", "--faces", "4", *arguments], capsys)
    published, own, tiled = found["metrics"].values()
    assert list(found["metrics"]) == [
        "niqe-pooled",
        *(f"{name}:my-faces@{digest}" for name in ("niqe-pooled", "niqe-tiled")),
    ]
    assert published["parameters"]["pristine"] == pristine().digest and "caution" not in published
    assert own["parameters"] == {**published["parameters"], "pristine": digest}
    assert own["mean"] != published["mean"] and "same file alone" in own["caution"]
    assert "blocks of 32x32 against a pristine Gaussian of 96x96" in tiled["caution"]
    assert {row["metric"] for row in found["images"]} == set(found["metrics"])


def test_pristine_pictures_score_lower_than_blurred_ones() -> None:
    faces = textured(40, 128, 128)
    fit(faces[:30], Path("mine.json"))
    names = ["niqe-pooled:mine.json", "niqe-pooled"]
    soft, unseen = (score(names, pictures) for pictures in (upsample(degrade(faces[:30], 8), 8), faces[30:]))
    own, published = (values.mean() for values in unseen.values())
    assert own < 0.8 * soft[next(iter(soft))].mean()
    assert own < 0.5 * published, "pictures of their kind are near"


def test_values_of_two_files_never_mix() -> None:
    faces = textured(8, 128, 128, 9)
    digests = {}
    for name, seed in (("a", 1), ("b", 2)):
        Path(name).mkdir()
        digests[name] = fit(textured(14, 128, 128, seed), Path(name) / "mine.json")["pristine"]
    features = describe(faces, 96, 32)
    alone = {name: pooled(features, read_pristine(Path(name) / "mine.json")) for name in digests}
    assert not np.allclose(alone["a"], alone["b"], rtol=1e-3)
    cache = ScoreCache(Path("scores.sqlite"))
    for name in ("a", "b", "a"):
        ((metric, values),) = score([f"niqe-pooled:{name}/mine.json"], faces, cache).items()
        assert metric == f"niqe-pooled:mine@{digests[name]}" and np.array_equal(values, alone[name])
    before = get_metric("niqe-pooled:a/mine.json")
    Path("a/mine.json").write_bytes(Path("b/mine.json").read_bytes())
    after = get_metric("niqe-pooled:a/mine.json")
    assert after.name == f"niqe-pooled:mine@{digests['b']}" != before.name
    assert isinstance(before, Described)
    assert np.array_equal(before.compare(features), alone["a"]), "it keeps what it was made of"
    both = score([before.name, after.name], faces, cache)
    assert [*both] == [before.name, after.name] and not np.array_equal(*both.values())


def test_rows_keep_a_name_that_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = textured(6, 128, 128)
    fit(textured(14, 128, 128, 1), Path("mine.json"))
    name = get_metric("niqe:mine.json").name
    first = score([name], faces)[name]
    Path("mine.json").unlink()
    niqe._known.clear()  # as in another process
    assert np.array_equal(score([name], faces)[name], first)
    (copy,) = (paths.cache() / "niqe").iterdir()
    copy.write_text(copy.read_text().replace("0.", "1.", 1))
    niqe._known.clear()
    scorer = Scorer(get_metrics([name, "niqe"]), [PROTOCOLS["rgb"]])
    scorer.add(to_tensor(faces))
    found = scorer.finish()
    assert list(found.values) == [("rgb", "niqe")]
    assert "its parameters are not here: give the file, as in --metric niqe:FILE.json" in found.unavailable[name]
    metric = get_metric(name)
    assert (metric.title, metric.decimals) == (f"NIQE (one block, {name.split(':')[1].split('@')[0]})", 3)


def test_a_fit_of_other_blocks_says_so() -> None:
    fit(textured(20, 128, 128), Path("small.json"), block=32)
    cautions = {name: get_metric(f"{name}:small.json").caution for name in niqe.CONVENTIONS}
    assert "blocks of 96x96 against a pristine Gaussian of 32x32" in cautions["niqe-pooled"]
    assert "blocks of 96x96 against a pristine Gaussian of 32x32" in cautions["niqe"]
    assert "against" not in cautions["niqe-tiled"]
    assert get_metric("niqe-tiled:small.json").parameters()["pristine_block"] == 32


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "bad.json: no such file"),
        ("{}", "bad.json: not NIQE parameters"),
        ("[1, 2]", "bad.json: not NIQE parameters"),
        (
            json.dumps({"mean": [0] * 36, "covariance": [[1]]}),
            "expected a mean of 36 numbers and a covariance of 36x36",
        ),
        (json.dumps({"mean": [0] * 36, "covariance": [[float("nan")] * 36] * 36}), "not NIQE parameters"),
    ],
)
def test_a_bad_file(content: str | None, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    if content is not None:
        Path("bad.json").write_text(content)
    save(textured(1, 128, 128), "sr")
    assert message in error_of(["score", "--sr", "sr", "--metric", "niqe-pooled:bad.json"], capsys)


@pytest.mark.parametrize(
    ("name", "message"),
    [("niqe-poold:mine.json", "did you mean 'niqe-pooled'"), ("psnr:mine.json", r"unknown metric 'psnr:mine\.json'")],
)
def test_a_name_that_is_nearly_right(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        get_metric(name)


def test_too_little_to_fit_to(capsys: pytest.CaptureFixture[str]) -> None:
    save(textured(3, 128, 128), "few")
    save(textured(2, 64, 64), "few")
    command = ["fit-niqe", "--pictures", "few", "--out", "mine.json"]
    message = error_of(command, capsys)
    assert "sharp blocks in 3 pictures: more than 36 are needed; 2 more are smaller than a block of 96x96" in message
    assert not Path("mine.json").exists()
    (Path("few") / "broken.png").write_bytes(b"no picture")
    assert "broken.png: not a picture" in error_of(command, capsys)
    prepare(textured(20, 128, 128), "train")
    assert main(["fit-niqe", "--data", "mine", "--out", "mine.json"]) == 0
    out, err = capsys.readouterr()
    assert "blocks are few for a covariance" in err and "score with: --metric niqe-pooled:mine.json" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pictures", "few", "--faces", "3"], "--split and --faces choose from --data"),
        (["--pictures", "none"], "none: no such file or folder"),
        (["--data", "mine", "--faces", "0"], "--faces: 0 given, expected 1 to"),
        (["--data", "mien"], "no data set 'mien'"),
        (["--data", "mine", "--block", "33"], "block 33: expected an even number of pixels, at least 16"),
        (["--data", "mine", "--stride", "0"], "--stride: 0 given, expected 2 to"),
        (["--data", "mine", "--block", "160"], "blocks of 160x160 needs larger pictures than 128x128"),
        ([], "give either --pictures or --data"),
    ],
)
def test_what_was_asked_wrongly(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(textured(2, 128, 128), "train")
    assert message in error_of(["fit-niqe", "--out", "mine.json", *arguments], capsys)
    assert not Path("mine.json").exists()
