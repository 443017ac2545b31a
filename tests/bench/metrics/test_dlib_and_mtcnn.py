"""Identity, landmarks and detection, on the photograph that scikit-image ships (NASA, public domain)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.core.errors import UserError
from bench.data.cards import read_card
from bench.data.degrade import degrade, upsample
from bench.data.generated import Generator
from bench.metrics import detection, faces
from bench.metrics.catalogue import get_metric, get_metrics
from bench.metrics.protocol import get_protocol
from bench.metrics.scoring import Scorer, to_levels
from bench.metrics.spec import Described, UnavailableError
from bench.runs.priors import find_landmarks

BOTH = (
    "identity-distance-detected",
    "identity-cosine-detected",
    "verification-detected",
    "landmarks-detected",
    "five-points",
)


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """Return the astronaut's face as a data set would cut it: uint8 [128, 128, 3]."""
    from skimage.data import astronaut

    photo = Image.fromarray(astronaut())
    return np.asarray(photo.resize((128, 128), Image.Resampling.BICUBIC, box=(152, 45, 296, 189)))


def score(name: str, sr: np.ndarray, hr: np.ndarray) -> float:
    metric = get_metric(name)
    assert isinstance(metric, Described)
    sides = [describe(metric, picture, hr) for picture in (sr, hr)]
    return float(metric.compare(*sides[: 1 + len(metric.needs)])[0])


def describe(metric: Described, picture: np.ndarray, hr: np.ndarray) -> np.ndarray:
    frame = metric.description.frame
    beside = [frame.describe(hr[None])] if frame else []
    return metric.description.describe(picture[None], *beside)


def test_a_face_is_itself(face: np.ndarray) -> None:
    assert [score(name, face, face) for name in BOTH] == pytest.approx([0, 1, 100, 0, 0])
    assert score("detection", face, face) == 100


def test_the_embedding_is_dlibs(face: np.ndarray) -> None:
    """Bicubic's distance, by dlib called plainly: landmarks in the original's box, aligned chip, network."""
    import dlib

    origin = importlib.util.find_spec("face_recognition_models")
    assert origin is not None and origin.origin is not None
    models = Path(origin.origin).parent / "models"
    shapes = dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))
    network = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))
    blurred = upsample(degrade(face[None], 8), 8)[0]
    (box,) = dlib.get_frontal_face_detector()(face, 1)
    shape, soft = (shapes(picture, box) for picture in (face, blurred))
    x, y = (
        np.array(network.compute_face_descriptor(face, shape)),
        np.array(network.compute_face_descriptor(blurred, soft)),
    )
    apart, cosine = np.linalg.norm(x - y), x @ y / np.linalg.norm(x) / np.linalg.norm(y)
    assert score("identity-distance-detected", blurred, face) == pytest.approx(apart, abs=1e-5)
    assert score("identity-cosine-detected", blurred, face) == pytest.approx(cosine, abs=1e-5)
    points, moved = (np.array([(point.x, point.y) for point in found.parts()]) for found in (shape, soft))
    expected = 100 * np.linalg.norm(points - moved, axis=1).mean() / np.linalg.norm(points[36] - points[45])
    assert score("landmarks-detected", blurred, face) == pytest.approx(expected)
    assert apart > 0.2 and expected > 1


def test_a_shifted_face_has_shifted_points(face: np.ndarray) -> None:
    """A shift of 3 pixels: the points follow, and the eyes lie about 38 pixels apart."""
    shifted = np.roll(face, 3, axis=1)
    metric = get_metric("landmarks-detected")
    assert isinstance(metric, Described)
    outer = faces.landmarks_of(describe(metric, face, face))[0, [36, 45]]
    expected = 100 * 3 / np.linalg.norm(outer[0] - outer[1])
    assert score("landmarks-detected", shifted, face) == pytest.approx(expected, rel=0.4)
    eyes = detection.MTCNN.describe(face[None])[0, 1:5].reshape(2, 2)
    expected = 100 * 3 / np.linalg.norm(eyes[0] - eyes[1])
    assert score("five-points", shifted, face) == pytest.approx(expected, rel=0.2)
    assert score("verification-detected", shifted, face) == 100


@pytest.fixture(scope="module")
def generated() -> np.ndarray:
    """Return generated faces, which fill the picture as CelebA's crops do not: uint8 [3, 128, 128, 3]."""
    card = read_card("synthfaces")
    make = Generator(dict(card.recipe), card.get)
    return np.stack([make.face(seed) for seed in range(2000000, 2000003)])


def test_the_box_is_where_the_face_of_the_original_is(generated: np.ndarray) -> None:
    metric = get_metric("landmarks-detected")
    assert isinstance(metric, Described)
    own = find_landmarks(generated)
    eyes = np.linalg.norm(own[:, 36] - own[:, 45], axis=1)
    blurred = upsample(degrade(generated, 4), 4)
    boxes, fixed = faces._find_boxes(generated), faces._find_boxes(np.zeros_like(generated))
    assert boxes[:, -1].tolist() == [1, 1, 1] and fixed[:, -1].tolist() == [0, 0, 0]

    def off(pictures: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Return the mean distance from landmarks in dlib's own box, as a share of that of the eyes."""
        points = faces.landmarks_of(metric.description.describe(pictures, boxes))
        return np.linalg.norm(points - own, axis=2).mean(1) / eyes

    assert (off(generated, boxes) == 0).all() and (off(generated, fixed) > 0.1).all()
    assert (off(blurred, boxes) < 0.08).all()


def test_faces_that_are_not_detected_are_counted_and_scored(face: np.ndarray) -> None:
    """The frame of SR is HR's: a picture in which nothing is detected is looked at where HR has its face."""
    noise = np.random.default_rng(0).integers(0, 256, face.shape, dtype=np.uint8)
    names = ("identity-distance-detected", "landmarks-detected")
    scorer = Scorer(get_metrics(["psnr", *names]), [get_protocol("sparnet")])
    sr, hr = np.stack([noise, face, noise]), np.stack([face, face, noise])
    scorer.add(to_levels(sr), hr)
    scores = scorer.finish()
    assert scores.remarks == dict.fromkeys(names, "no face detected in 1 of 3 originals")
    metric = get_metric("landmarks-detected")
    assert isinstance(metric, Described)
    placed = metric.description.describe(noise[None], faces._find_boxes(face[None]))
    expected = metric.compare(placed, describe(metric, face, face))[0]
    assert scores.values["sparnet", "landmarks-detected"].tolist() == [expected, 0, 0]
    assert expected > 10


def test_old_names_are_told_the_new_ones() -> None:
    with pytest.raises(UserError, match="landmarks-detected"):
        get_metric("landmarks")


def test_noise_is_no_face(face: np.ndarray) -> None:
    noise = np.random.default_rng(0).integers(0, 256, face.shape, dtype=np.uint8)
    assert score("detection", noise, face) == 0 and np.isnan(score("five-points", noise, face))
    assert score("verification-detected", noise, face) == 0
    assert score("identity-distance-detected", noise, face) > score("identity-distance-detected", face[:, ::-1], face)


def test_a_flat_picture_is_undefined(face: np.ndarray) -> None:
    flat = np.full_like(face, 90)
    assert all(np.isnan(score(name, flat, face)) for name in BOTH)
    assert score("detection", flat, face) == 0


def test_parameters_name_the_models() -> None:
    parameters = get_metric("landmarks-detected").parameters()
    assert parameters["else"] == list(faces.BOX) and "HR" in parameters["box"] and len(parameters) == 5
    assert get_metric("detection").parameters()["least_probability"] == 0.9


def test_missing_packages_are_told(face: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    faces._models.cache_clear()
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(UnavailableError, match=r"fsr-bench\[identity\]"):
        score("landmarks-detected", face, face)
    monkeypatch.undo()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UnavailableError, match="models are not installed"):
        score("landmarks-detected", face, face)
    monkeypatch.undo()
    detection._detector.cache_clear()
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    with pytest.raises(UnavailableError, match=r"fsr-bench\[photos\]"):
        score("detection", face, face)
