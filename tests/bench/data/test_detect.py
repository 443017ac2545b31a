from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bench.core.errors import UserError
from bench.data import detect
from bench.data.detect import Center, Face, Landmarks, Mtcnn, choose_faces, make_detector, read_points


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    from skimage.data import astronaut

    return np.asarray(astronaut())


@pytest.fixture(scope="module")
def mtcnn() -> Mtcnn:
    return Mtcnn(min_face=40, least_probability=0.9, device="cpu")


def face(left: float, top: float, side: float) -> Face:
    return Face((left, top, left + side, top + side), (), 1.0)


def test_mtcnn_finds_the_astronauts_face_and_eyes(astronaut: np.ndarray) -> None:
    """The numbers are those of facenet-pytorch 2.5.3 on scikit-image's picture, to a pixel."""
    ((found,),) = Mtcnn(min_face=20, least_probability=0.9, device="cpu").detect([astronaut], [b""])
    assert found.box == pytest.approx((181.1, 62.2, 267.7, 172.1), abs=1.0)
    assert found.probability > 0.999
    left_eye, right_eye, mouth = found.landmarks[:2], found.landmarks[2:4], found.landmarks[6:]
    assert left_eye[0] < right_eye[0] and max(left_eye[1], right_eye[1]) < min(mouth[1], mouth[3])
    assert all(181 < x < 268 for x in found.landmarks[::2]) and all(62 < y < 173 for y in found.landmarks[1::2])
    assert all(round(value, 2) == value for value in (*found.box, *found.landmarks))


def test_mtcnn_on_photos_of_many_sizes_and_without_faces(astronaut: np.ndarray, mtcnn: Mtcnn) -> None:
    small = np.asarray(Image.fromarray(astronaut).resize((256, 256), Image.Resampling.BICUBIC))
    noise = np.random.default_rng(0).integers(0, 256, astronaut.shape, dtype=np.uint8)
    grey = np.full((64, 90, 3), 128, np.uint8)
    tiny = np.zeros((20, 300, 3), np.uint8)
    found = mtcnn.detect([small, noise, astronaut, grey, tiny], [b""] * 5)
    assert [len(faces) for faces in found] == [1, 0, 1, 0, 0]
    assert np.multiply(found[0][0].box, 2) == pytest.approx(found[2][0].box, abs=6)
    assert mtcnn.detect([], []) == []


def test_huge_photos_are_reduced_first_and_their_boxes_are_in_their_own_pixels(
    astronaut: np.ndarray, mtcnn: Mtcnn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((whole,),) = mtcnn.detect([astronaut], [b""])
    monkeypatch.setattr(detect, "_LARGE", astronaut.shape[0] * astronaut.shape[1] // 3)
    sizes = []
    network = mtcnn._network.detect
    monkeypatch.setattr(
        mtcnn._network, "detect", lambda batch, **how: sizes.append(batch.shape) or network(batch, **how)
    )
    ((reduced,),) = mtcnn.detect([astronaut], [b""])
    assert sizes == [(1, 256, 256, 3)]
    assert reduced.box == pytest.approx(whole.box, abs=6) and reduced.landmarks == pytest.approx(whole.landmarks, abs=4)


def test_center_is_the_largest_square_in_the_middle() -> None:
    photos = [np.zeros((218, 178, 3), np.uint8), np.zeros((10, 15, 3), np.uint8)]
    (portrait,), (wide,) = Center().detect(photos, [b"", b""])
    assert portrait.box == (0.0, 20.0, 178.0, 198.0)
    assert wide.box == (2.0, 0.0, 12.0, 10.0)


def test_landmarks_come_from_the_points_file() -> None:
    points = np.random.default_rng(1).uniform(20, 90, (68, 2)).round(3)
    text = "version: 1\nn_points: 68\n{\n" + "\n".join(f"{x} {y}" for x, y in points) + "\n}\n"
    (found,), none = Landmarks().detect([np.zeros((100, 100, 3), np.uint8)] * 2, [text.encode(), b""])
    least, most = points.min(axis=0) - 1, points.max(axis=0) - 1
    assert found.box == pytest.approx((*least, *most), abs=0.01)
    assert found.landmarks[:2] == pytest.approx(points[36:42].mean(axis=0) - 1, abs=0.01)
    assert found.landmarks[4:6] == pytest.approx(points[30] - 1, abs=0.01)
    assert none == []


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("begin", ["", "\ufeff", "version: 1\nn_points: 68\n{\n", "// of a tool\n", "n_points:  68\n"])
def test_points_need_no_header(begin: str, ending: str) -> None:
    points = np.random.default_rng(1).uniform(20, 90, (68, 2)).round(3)
    lines = begin + "\n".join(f"{x}\t{y}" for x, y in points) + ("\n}\n" if "{" in begin else "")
    assert np.allclose(read_points(lines.replace("\n", ending).encode()), points - 1)
    assert np.allclose(read_points(lines.replace("\t", ", ").encode()), points - 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 numbers in it"),
        (b"{1 2 3}", "3 numbers in it, expected x and y of two points or more"),
        (b"{a b}", "could not convert string to float: 'a'"),
        (b"{1 nan 3 4}", "not finite"),
        (b"\xff\xfe", "could not convert"),
        (b"1 2 3\n4 5 6\n", "'1 2 3' in it, expected x and y of a point"),
        (b"n_points: 3\n{\n1 2\n3 4\n}", "2 points in it, its header says 3"),
    ],
)
def test_what_is_wrong_with_points_is_said(content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=f"^the .pts file beside it cannot be read: .*{message}"):
        read_points(content)


def test_the_wanted_face_among_several() -> None:
    large, middle, far, small = face(0, 0, 40), face(40, 40, 30), face(90, 0, 35), face(49, 49, 4)
    faces = [large, far, middle, small]
    assert choose_faces(faces, "largest", 110, 110) == ([large], "largest")
    assert choose_faces(faces, "centre", 110, 110) == ([middle], "nearest the centre")  # small is a stranger
    assert choose_faces(faces, "all", 110, 110) == (faces, "all")
    assert choose_faces([small], "centre", 110, 110) == ([small], "only face")
    assert choose_faces([], "largest", 110, 110)[0] == []


def test_an_unknown_detector_is_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'center'"):
        make_detector("centre", min_face=40, least_probability=0.9)
