from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data import celeba
from bench.data.degrade import degrade, upsample
from bench.data.prepare import prepare
from bench.data.store import open_split
from bench.errors import UserError
from bench.evaluate import score_pictures
from tests.bench.data.test_photos import pack, picture

REAL = Path(__file__).parents[4] / "shared" / "data"
needs_photos = pytest.mark.skipif(not REAL.is_dir(), reason="the CelebA tars are not on this machine")


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    return tmp_path


def photo(seed: int, size: tuple[int, int] = (178, 218)) -> bytes:
    return picture(seed, size=size, kind="JPEG", quality=90)


def test_official_partition_and_crop(root: Path) -> None:
    numbers = [1, 162770, 162771, 182637, 182638, 202599]
    files = {f"img/{number:06d}.jpg": photo(number) for number in numbers}
    source = pack(root / "a.tar", {**files, "img/202600.jpg": photo(0), "img/me.jpg": photo(1)})
    stores = {store.split: store for store in prepare("celeba", sources=[source], quiet=True)}
    assert {split: store.names for split, store in stores.items()} == {
        "train": ["000001", "162770"],
        "val": ["162771", "182637"],
        "test": ["182638", "202599"],
    }
    told = stores["test"].card["counts"]
    assert told["read"] == 2 and told["skipped"] == 2
    import io

    image = Image.open(io.BytesIO(files["img/000001.jpg"])).crop((0, 20, 178, 198))
    expected = image.resize((128, 128), Image.Resampling.BICUBIC)
    assert np.array_equal(stores["train"].faces[0], np.asarray(expected))


def test_the_same_photos_give_the_same_fingerprint_wherever_they_lie(root: Path) -> None:
    files = {f"{number:06d}.jpg": photo(number) for number in (3, 1, 2)}
    first = prepare("celeba", sources=[pack(root / "a.tar", files)], quiet=True)[0].fingerprint
    folder = root / "elsewhere"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    assert prepare("celeba", sources=[folder], quiet=True)[0].fingerprint == first


def test_unchanged_sources_are_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = pack(root / "a.tar", {"000001.jpg": photo(1)})
    prepare("celeba", sources=[source], quiet=True)
    with monkeypatch.context() as patch:
        patch.setattr(celeba, "read_photos", lambda *_: pytest.fail("read again"))
        assert len(prepare("celeba", sources=[source], quiet=True)[0]) == 1
    pack(source, {"000001.jpg": photo(1), "000002.jpg": photo(2)})
    assert len(prepare("celeba", sources=[source], quiet=True)[0]) == 2
    assert len(open_split("celeba", "train")) == 2


def test_photos_of_another_size_are_skipped(root: Path) -> None:
    files = {"000001.jpg": photo(1), "000002.jpg": photo(2, (100, 100))}
    store = prepare("celeba", sources=[pack(root / "a.tar", files)], quiet=True)[0]
    assert store.names == ["000001"]
    assert "not the aligned frame of 178x218 pixels" in store.card["counts"]["skipped_files"]


@pytest.mark.parametrize(
    ("files", "message"),
    [({"me.jpg": photo(0)}, "no CelebA photo"), ({"000001.jpg": b"junk"}, "no face left to write")],
)
def test_nothing_usable(root: Path, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(UserError, match=message):
        prepare("celeba", sources=[pack(root / "a.tar", files)], quiet=True)


def test_arguments_that_mean_nothing() -> None:
    for arguments, message in (
        ({"dataset": "celebaa"}, "did you mean 'celeba'"),
        ({"dataset": "celeba"}, "no source given"),
        ({"dataset": "celeba", "sources": [Path("x")], "train": 5}, "the size of celeba is that of its sources"),
        ({"dataset": "synthfaces", "sources": [Path("x")]}, "reads no photographs"),
    ):
        with pytest.raises(UserError, match=message):
            prepare(**arguments)  # type: ignore[arg-type]


@needs_photos
def test_bicubic_on_real_photos_is_near_the_papers_row() -> None:
    """The paper's Table 2 has 23.572 dB and 0.637 on its own CelebA crops; the whole aligned frame comes near them."""
    (store,) = prepare("celeba", sources=[REAL / "celeba_test.tar"], quiet=True)
    assert len(store) == 1000 and store.card["counts"]["skipped"] == 0
    hr = np.array(store.faces)
    sr = torch.from_numpy(upsample(degrade(hr, 8), 8)).permute(0, 3, 1, 2).float() / 255
    scores = score_pictures(sr, hr, "sparnet")
    assert np.mean(scores["psnr"]) == pytest.approx(23.572, abs=0.1)
    assert np.mean(scores["ssim"]) == pytest.approx(0.637, abs=0.01)
