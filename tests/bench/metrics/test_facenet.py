"""FaceNet's metrics, with random weights in a file like the published one, beside facenet-pytorch called plainly."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.core import paths
from bench.core.errors import UserError
from bench.metrics import facenet
from bench.metrics.catalogue import get_metric
from bench.metrics.fetch import fetch
from bench.metrics.spec import Described, UnavailableError
from bench.runs.evaluate import to_tensor
from tests.bench.conftest import smooth_faces

BOTH = ("facenet-distance", "facenet-cosine")


@pytest.fixture(scope="module")
def network() -> Any:
    """Return facenet-pytorch's network with random weights that tell pictures apart, and a layer of classes."""
    from facenet_pytorch import InceptionResnetV1

    torch.manual_seed(0)
    network = InceptionResnetV1(pretrained=None, classify=True, num_classes=7)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            part.momentum = None  # its statistics become those of the pictures that follow
    network(to_tensor(smooth_faces(6, 100, 160)) * 2 - 1)
    network.classify = False
    return network.eval()


@pytest.fixture(scope="module")
def published(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the random weights in a file of the published name."""
    path = tmp_path_factory.mktemp("published") / facenet.PUBLISHED
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def converted(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what `fsr fetch` makes of the file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSR_CACHE", str(tmp_path_factory.mktemp("converted")))
        fetch("facenet", published)
        return facenet.WEIGHTS.path.parent


@pytest.fixture
def at_hand(converted: Path, own_settings: None) -> None:
    """Put the converted weights into the test's own cache."""
    paths.cache().mkdir(parents=True)
    (paths.cache() / "weights").symlink_to(converted)


def describe(pictures: np.ndarray) -> np.ndarray:
    return facenet.FACENET.describe(pictures)


@pytest.mark.usefixtures("at_hand")
def test_embeddings_are_facenet_pytorchs(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the network's own size the package's standardisation is all there is; else torchvision resizes."""
    monkeypatch.setattr(facenet, "_AT_ONCE", 1)
    from facenet_pytorch.models.mtcnn import fixed_image_standardization
    from torchvision.transforms.functional import resize

    for size in (160, 128):
        faces = smooth_faces(2, 1, size)
        levels = torch.from_numpy(faces.copy()).permute(0, 3, 1, 2)
        with torch.no_grad():
            expected = network(fixed_image_standardization(resize(levels.float(), [160, 160], antialias=True)))
        assert np.allclose(describe(faces), expected, atol=1e-5)


@pytest.mark.usefixtures("at_hand")
def test_values_are_distance_and_cosine() -> None:
    described = describe(smooth_faces(3, 1))
    distance, cosine = (get_metric(name) for name in BOTH)
    assert isinstance(distance, Described) and isinstance(cosine, Described)
    assert not distance.higher_is_better and cosine.higher_is_better
    apart, along = distance.compare(described[:2], described[1:]), cosine.compare(described[:2], described[1:])
    assert (apart > 0.01).all() and np.allclose(apart**2, 2 - 2 * along, atol=1e-6)
    assert distance.compare(described, described).tolist() == [0, 0, 0]
    assert cosine.compare(described, described) == pytest.approx([1, 1, 1])


def test_the_file_is_converted_once_and_its_successor_noticed(published: Path, tmp_path: Path) -> None:
    first = fetch("facenet", published)["files"][0]
    assert first["written"] and Path(first["path"]) == facenet.WEIGHTS.path
    assert not fetch("facenet", published)["files"][0]["written"]
    assert not fetch("facenet")["files"][0]["written"], "without --from, what is there is enough"
    before, values = get_metric(BOTH[0]).parameters(), describe(smooth_faces(1, 0))
    successor, state = tmp_path / "successor.pt", torch.load(published, weights_only=True)
    torch.save({**state, "last_linear.weight": state["last_linear.weight"].flip(1)}, successor)
    assert fetch("facenet", successor)["files"][0]["written"]
    assert get_metric(BOTH[0]).parameters()["weights"] != before["weights"] == first["sha256"][:12]
    assert not np.allclose(describe(smooth_faces(1, 0)), values, atol=1e-3)


@pytest.mark.parametrize("name", BOTH)
def test_without_the_file_the_way_out_is_named(name: str) -> None:
    expected = rf"^its weights are not here: download {facenet.PUBLISHED} from https://github.com/timesler/\S+ and run"
    with pytest.raises(UnavailableError, match=expected):
        get_metric(BOTH[0]).parameters()
    with pytest.raises(UnavailableError, match=expected):
        describe(smooth_faces(1, 0))


class Code:
    """Unpickled, it would make a folder."""

    def __reduce__(self) -> Any:
        return Path.mkdir, (Path("made by a pickle"),)


def test_other_files_are_refused(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = torch.load(published, weights_only=True)
    lacking = {name: tensor for name, tensor in state.items() if name != "last_linear.weight"}
    for content, message in (
        ({"last_linear.weight": Code()}, "UnpicklingError"),
        ([1, 2], "AttributeError"),
        (lacking, "it lacks 'last_linear.weight'"),
        ({**state, "more": torch.ones(3)}, "RuntimeError"),
    ):
        torch.save(content, "given.pt")
        with pytest.raises(UserError, match=rf"not the weights of {facenet.PUBLISHED} \(.*{message}") as error:
            fetch("facenet", Path("given.pt"))
        assert "\n" not in str(error.value)
    Path("given.pt").write_text("not found")
    with pytest.raises(UserError, match="not the weights of"):
        fetch("facenet", Path("given.pt"))
    assert not facenet.WEIGHTS.path.exists() and not Path("made by a pickle").exists()


def test_a_damaged_copy_is_named(converted: Path) -> None:
    path = facenet.WEIGHTS.path
    path.parent.mkdir(parents=True)
    path.write_bytes((converted / path.name).read_bytes()[:1000])
    with pytest.raises(UnavailableError, match=r"not whole .* run `fsr fetch facenet --from"):
        describe(smooth_faces(1, 0))


@pytest.mark.usefixtures("at_hand")
def test_without_the_package(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facenet._network.cache_clear()
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    with pytest.raises(UnavailableError, match=r"fsr-bench\[photos\]"):
        describe(smooth_faces(1, 0))
    with pytest.raises(UserError, match=r"fsr-bench\[photos\]"):
        fetch("facenet", published)
