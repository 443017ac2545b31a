from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.core.errors import UserError
from bench.data import generated
from bench.data.store import open_split
from bench.runs.prepare import prepare


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    return tmp_path


class FakeGenerator:
    """Faces that depend on the seed alone, in no time."""

    made: list[int] = []  # noqa: RUF012 - shared on purpose

    def __init__(self, recipe: dict[str, object], install: str) -> None:
        type(self).made = []

    def face(self, seed: int) -> np.ndarray:
        self.made.append(seed)
        return np.random.default_rng(seed).integers(0, 256, (128, 128, 3), dtype=np.uint8)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeGenerator]:
    monkeypatch.setattr(generated, "Generator", FakeGenerator)
    return FakeGenerator


def test_splits_have_seeds_of_their_own(root: Path, fake: type[FakeGenerator]) -> None:
    stores = prepare("synthfaces", sizes={"train": 3, "val": 2, "test": 2}, quiet=True)
    names = [name for store in stores for name in store.names]
    assert names == [f"seed-{seed:07d}" for seed in (0, 1, 2, 1000000, 1000001, 2000000, 2000001)]


def test_asking_again_makes_nothing_and_asking_for_more_makes_the_rest(root: Path, fake: type[FakeGenerator]) -> None:
    prepare("synthfaces", sizes={"train": 3}, quiet=True)
    fake.made = []
    assert len(prepare("synthfaces", sizes={"train": 2}, quiet=True)[0]) == 3
    assert fake.made == []
    grown = prepare("synthfaces", sizes={"train": 6}, quiet=True)[0].fingerprint
    assert fake.made == [3, 4, 5]
    assert grown == _fresh(root, 6)


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    root: Path, fake: type[FakeGenerator], monkeypatch: pytest.MonkeyPatch
) -> None:
    face = fake.face

    def die_at_four(self: FakeGenerator, seed: int) -> np.ndarray:
        if seed == 4:
            raise KeyboardInterrupt
        return face(self, seed)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fake, "face", die_at_four)
        prepare("synthfaces", sizes={"train": 6}, quiet=True)
    (partial,) = (root / "datasets" / "prepared" / "synthfaces").glob("*.partial")
    with partial.open("ab") as file:
        file.write(b"half a face")
    with pytest.raises(UserError, match="run `fsr prepare synthfaces`"):
        open_split("synthfaces", "train")
    resumed = prepare("synthfaces", sizes={"train": 6}, quiet=True)[0].fingerprint
    assert fake.made == [4, 5]
    assert not partial.exists()
    assert resumed == _fresh(root, 6)


def test_the_bar_has_a_plain_name(root: Path, fake: type[FakeGenerator], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "fsr"):
        prepare("synthfaces", sizes={"train": 3})
    assert caplog.messages[0].startswith("generate train faces: 3 of 3, ")


def _fresh(root: Path, train: int) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSR_ROOT", str(root / "fresh"))
        return prepare("synthfaces", sizes={"train": train}, quiet=True)[0].fingerprint


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"train": 0}, "--train 0: expected at least 1"),
        ({"test": -4}, "--test -4"),
        ({"val": 2000000}, "1000000 seeds"),
    ],
)
def test_bad_sizes(root: Path, sizes: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        prepare("synthfaces", sizes=sizes, quiet=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", ["random_face", "openvino"])
def test_a_missing_package_is_named_with_its_command(root: Path, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing == "random_face":
        monkeypatch.setattr(generated.importlib.util, "find_spec", lambda _: None)
    else:
        monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UserError, match=f"{missing.replace('_', '-')}.* not installed: .*pip install --no-deps"):
        prepare("synthfaces", sizes={"train": 1}, quiet=True)


@pytest.mark.slow
def test_real_faces_are_the_same_each_time_and_survive_sigkill(root: Path) -> None:
    code = "from bench.runs.prepare import prepare; prepare('synthfaces', sizes={'train': 2}, quiet=True)"
    killed = (
        "import os, signal; from bench.data import generated as s; face = s.Generator.face\n"
        "s.Generator.face = lambda self, seed: os.kill(os.getpid(), signal.SIGKILL) if seed else face(self, seed)\n"
    )
    died = subprocess.run([sys.executable, "-c", killed + code], check=False)
    assert died.returncode == -signal.SIGKILL
    subprocess.run([sys.executable, "-c", code], check=True)
    resumed = open_split("synthfaces", "train")
    assert resumed.fingerprint == _fresh(root, 2)
    for face in resumed.faces:
        assert 60 < face.mean() < 200 and face.std() > 20  # a picture, not a flat or clipped one
    assert np.abs(resumed.faces[0].astype(int) - resumed.faces[1]).mean() > 10
