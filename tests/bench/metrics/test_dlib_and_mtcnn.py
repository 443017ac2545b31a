"""Identity, landmarks and detection, on the photograph that scikit-image ships (NASA, public domain)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.degrade import degrade, upsample
from bench.metrics import detection, faces
from bench.metrics.catalogue import get_metric
from bench.metrics.spec import Described, UnavailableError

BOTH = ("identity-distance", "identity-cosine", "verification", "landmarks", "five-points")


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """Return the astronaut's face as a data set would cut it: uint8 [128, 128, 3]."""
    from skimage.data import astronaut

    photo = Image.fromarray(astronaut())
    return np.asarray(photo.resize((128, 128), Image.Resampling.BICUBIC, box=(152, 45, 296, 189)))


def score(name: str, sr: np.ndarray, hr: np.ndarray) -> float:
    metric = get_metric(name)
    assert isinstance(metric, Described)
    described = metric.description.describe(np.stack([sr, hr]))
    return float(metric.compare(*np.split(described, 2)[: 1 + len(metric.needs)])[0])


def test_a_face_is_itself(face: np.ndarray) -> None:
    assert [score(name, face, face) for name in BOTH] == pytest.approx([0, 1, 100, 0, 0])
    assert score("detection", face, face) == 100


def test_the_embedding_is_dlibs(face: np.ndarray) -> None:
    """Bicubic's distance, by dlib called plainly: landmarks in the box, aligned chip, network."""
    import dlib

    origin = importlib.util.find_spec("face_recognition_models")
    assert origin is not None and origin.origin is not None
    models = Path(origin.origin).parent / "models"
    shapes = dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))
    network = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))
    blurred = upsample(degrade(face[None], 8), 8)[0]
    shape, soft = (shapes(picture, dlib.rectangle(30, 30, 104, 104)) for picture in (face, blurred))
    x, y = (
        np.array(network.compute_face_descriptor(face, shape)),
        np.array(network.compute_face_descriptor(blurred, soft)),
    )
    apart, cosine = np.linalg.norm(x - y), x @ y / np.linalg.norm(x) / np.linalg.norm(y)
    assert score("identity-distance", blurred, face) == pytest.approx(apart, abs=1e-5)
    assert score("identity-cosine", blurred, face) == pytest.approx(cosine, abs=1e-5)
    points, moved = (np.array([(point.x, point.y) for point in found.parts()]) for found in (shape, soft))
    expected = 100 * np.linalg.norm(points - moved, axis=1).mean() / np.linalg.norm(points[36] - points[45])
    assert score("landmarks", blurred, face) == pytest.approx(expected)
    assert apart > 0.2 and expected > 1


def test_a_shifted_face_has_shifted_points(face: np.ndarray) -> None:
    """A shift of 3 pixels: the points follow, and the eyes lie about 38 pixels apart."""
    shifted = np.roll(face, 3, axis=1)
    metric = get_metric("landmarks")
    assert isinstance(metric, Described)
    outer = faces.landmarks_of(metric.description.describe(face[None]))[0, [36, 45]]
    expected = 100 * 3 / np.linalg.norm(outer[0] - outer[1])
    assert score("landmarks", shifted, face) == pytest.approx(expected, rel=0.4)
    eyes = detection.MTCNN.describe(face[None])[0, 1:5].reshape(2, 2)
    expected = 100 * 3 / np.linalg.norm(eyes[0] - eyes[1])
    assert score("five-points", shifted, face) == pytest.approx(expected, rel=0.2)
    assert score("verification", shifted, face) == 100


def test_noise_is_no_face(face: np.ndarray) -> None:
    noise = np.random.default_rng(0).integers(0, 256, face.shape, dtype=np.uint8)
    assert score("detection", noise, face) == 0 and np.isnan(score("five-points", noise, face))
    assert score("verification", noise, face) == 0
    assert score("identity-distance", noise, face) > score("identity-distance", face[:, ::-1], face)


def test_a_flat_picture_is_undefined(face: np.ndarray) -> None:
    flat = np.full_like(face, 90)
    assert all(np.isnan(score(name, flat, face)) for name in BOTH)
    assert score("detection", flat, face) == 0


def test_parameters_name_the_models() -> None:
    parameters = get_metric("landmarks").parameters()
    assert parameters["box"] == list(faces.BOX) and len(parameters) == 3
    assert get_metric("detection").parameters()["least_probability"] == 0.9


def test_missing_packages_are_told(face: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    faces._models.cache_clear()
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(UnavailableError, match=r"fsr-bench\[identity\]"):
        score("landmarks", face, face)
    monkeypatch.undo()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UnavailableError, match="models are not installed"):
        score("landmarks", face, face)
    monkeypatch.undo()
    detection._detector.cache_clear()
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    with pytest.raises(UnavailableError, match=r"fsr-bench\[photos\]"):
        score("detection", face, face)
