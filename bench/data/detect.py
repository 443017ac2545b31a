"""Find faces in photos, behind a small protocol, so that a manifest can say who found them.

`mtcnn` is Zhang et al. 2016 as in facenet-pytorch, whose wheel carries the weights; `center` takes the largest square
in the middle, for frames that are aligned already; `landmarks` takes the points in .pts files beside the photos.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image

from bench.core.errors import UserError, check_known
from bench.data.manifest import Box

Choose = Literal["centre", "largest", "all"]
INSTALL = "pip install torchvision && pip install facenet-pytorch==2.5.3"
BAD_POINTS = "the .pts file beside it cannot be read"
_CELL = 12  # pixels of MTCNN's smallest face on a level of its pyramid
_MOST_PIXELS = 4_500_000  # of its first level, which then takes about 1 GB; where there are more, min_face grows
_LARGE = 12_000_000  # pixels from which a photo is reduced first: MTCNN makes float32 of all of it
_DIGITS = 2  # of a pixel; finer differences come from the machine, not from the face
_FIVE = ((36, 42), (42, 48), (30, 31), (48, 49), (54, 55))  # of iBUG's 68 points: eyes, nose tip, mouth corners


@dataclass(frozen=True, slots=True)
class Face:
    """A face in pixels of its photo: box (left, top, right, bottom), x and y of five landmarks or none, probability."""

    box: Box
    landmarks: tuple[float, ...]
    probability: float

    @property
    def side(self) -> float:
        """The longer side of the box."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    def has_middle_in(self, width: int, height: int) -> bool:
        """Tell whether the box's middle is inside a photo of this size; else most of the face is not in it."""
        left, top, right, bottom = self.box
        return 0 <= left + right <= 2 * width and 0 <= top + bottom <= 2 * height


class FaceDetector(Protocol):
    """Finds faces; `version` names the software in a manifest."""

    version: str

    def detect(self, photos: Sequence[np.ndarray], points: Sequence[bytes]) -> list[list[Face]]:
        """Return the faces of each photo, uint8 RGB [H, W, 3]; `points` holds each one's .pts file, or nothing."""
        ...


def make_detector(name: str, *, min_face: int, least_probability: float, device: str = "cpu") -> FaceDetector:
    """Return the detector `name`; raise UserError for an unknown name or a package that is not installed.

    `min_face` (pixels) and `least_probability` are what a face must have at least, for mtcnn.
    """
    if name == "mtcnn":
        return Mtcnn(min_face, least_probability, device)
    return Center() if check_known("detector", name, ("mtcnn", "center", "landmarks")) == "center" else Landmarks()


class Mtcnn:
    """MTCNN with the weights in facenet-pytorch's wheel, on batches of photos of one size."""

    def __init__(self, min_face: int, least_probability: float, device: str) -> None:
        try:
            import torch
            from facenet_pytorch import MTCNN
        except ImportError:
            raise UserError(f"the detector mtcnn needs facenet-pytorch, which is not installed: {INSTALL}") from None
        self.min_face, self.least_probability = min_face, least_probability
        self.version = f"facenet-pytorch {metadata.version('facenet-pytorch')}"
        self._network: Any = MTCNN(keep_all=True, min_face_size=min_face, device=torch.device(device))
        # Nearly twice as fast on a CPU, and the boxes differ by 4e-5 pixels.
        for stage in (self._network.pnet, self._network.rnet, self._network.onet):
            stage.to(memory_format=torch.channels_last)

    def detect(self, photos: Sequence[np.ndarray], points: Sequence[bytes]) -> list[list[Face]]:
        """Return the faces of each photo that are probable enough."""
        detected: list[list[Face]] = [[] for _ in photos]
        alike: dict[tuple[int, ...], list[int]] = {}
        for index, photo in enumerate(photos):
            alike.setdefault(photo.shape, []).append(index)
        for shape, members in alike.items():
            step = math.ceil(math.sqrt(shape[0] * shape[1] / _LARGE))
            for index, faces in zip(members, self._detect_alike([photos[i] for i in members], step), strict=True):
                detected[index] = faces
        return detected

    def _detect_alike(self, photos: Sequence[np.ndarray], step: int) -> list[list[Face]]:
        """Return the faces of photos of one size, looked for on every `step`-th of their pixels (block means)."""
        height, width = (math.ceil(side / step) for side in photos[0].shape[:2])
        least = max(math.ceil(self.min_face / step), math.ceil(_CELL * math.sqrt(height * width / _MOST_PIXELS)), _CELL)
        if min(height, width) < least:  # the pyramid of a smaller photo has no level
            return [[] for _ in photos]
        self._network.min_face_size = least
        first_level = height * width * (_CELL / least) ** 2
        together = max(1, min(int(_MOST_PIXELS / first_level), _LARGE // (height * width)))
        faces = []
        for start in range(0, len(photos), together):
            batch = np.stack([_reduce(photo, step) for photo in photos[start : start + together]])
            results = zip(*self._network.detect(batch, landmarks=True), strict=True)
            faces += [self._faces(boxes, chances, marks, step) for boxes, chances, marks in results]
        return faces

    def _faces(self, boxes: Any, probabilities: Any, marks: Any, step: int) -> list[Face]:
        if boxes is None:
            return []
        faces = [
            Face(
                _box([float(value) * step for value in box]),
                tuple(_round(value * step) for point in five for value in point),
                round(float(probability), 5),
            )
            for box, probability, five in zip(boxes, probabilities, marks, strict=True)
        ]
        return [face for face in faces if face.probability >= self.least_probability and _sound(face)]


class Center:
    """The largest square in the middle of the photo, as CelebA's aligned frame allows."""

    version = ""

    def detect(self, photos: Sequence[np.ndarray], points: Sequence[bytes]) -> list[list[Face]]:
        """Return one face a photo, without landmarks."""
        faces = []
        for height, width in (photo.shape[:2] for photo in photos):
            side = min(height, width)
            left, top = (width - side) // 2, (height - side) // 2
            faces.append([Face((float(left), float(top), float(left + side), float(top + side)), (), 1.0)])
        return faces


class Landmarks:
    """The points of a .pts file beside the photo (iBUG's format, counted from 1): the box is what they span."""

    version = ""

    def detect(self, photos: Sequence[np.ndarray], points: Sequence[bytes]) -> list[list[Face]]:
        """Return one face for each photo that has points, with five landmarks where there are 68 or 5 of them."""
        return [self._faces(content) for content in points]

    def _faces(self, content: bytes) -> list[Face]:
        if not content:
            return []
        marks = read_points(content)
        five = [marks[first:last].mean(axis=0) for first, last in _FIVE] if len(marks) == 68 else []
        five = list(marks) if len(marks) == 5 else five
        box = _box([*marks.min(axis=0), *marks.max(axis=0)])
        face = Face(box, tuple(_round(value) for point in five for value in point), 1.0)
        return [face] if _sound(face) else []


def read_points(content: bytes) -> np.ndarray:
    """Return the points of a .pts file as float [N, 2], counted from 0: a line a point, with iBUG's header or without.

    Raises UserError, the reason as its text, for what is no such file.
    """
    text = content.decode("utf-8-sig", "replace")
    in_braces = text.partition("{")[2].partition("}")[0]
    body = in_braces if "{" in text else re.sub(r"(?m)^.*:.*$|(//|#).*$", "", text)
    lines = [line for line in re.sub("[,;\t]", " ", body).splitlines() if line.strip()]
    for line in lines:
        if len(lines) > 1 and len(line.split()) != 2:
            raise UserError(f"{BAD_POINTS}: '{line.strip()[:40]}' in it, expected x and y of a point")
    try:
        values = np.array([float(word) for line in lines for word in line.split()])
    except ValueError as error:
        raise UserError(f"{BAD_POINTS}: {str(error)[:80]}") from None
    if not np.isfinite(values).all():
        raise UserError(f"{BAD_POINTS}: a number in it is not finite")
    if len(values) < 4 or len(values) % 2:
        raise UserError(f"{BAD_POINTS}: {len(values)} numbers in it, expected x and y of two points or more")
    expected = re.search(r"n_points:\s*(\d+)", text)
    if expected and int(expected[1]) != len(values) // 2:
        raise UserError(f"{BAD_POINTS}: {len(values) // 2} points in it, its header says {expected[1]}")
    return values.reshape(-1, 2) - 1


def drop_overlapping(faces: Sequence[Face], most: float) -> list[Face]:
    """Return the faces of a photo, in their order, without those that overlap a likelier one by more than `most`.

    Overlap is what two boxes share over the area of the smaller: a box inside another overlaps it by 1.
    """
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.probability):
        if all(_overlap(face.box, other.box) <= most for other in kept):
            kept.append(face)
    return [face for face in faces if face in kept]


def _overlap(a: Box, b: Box) -> float:
    width, height = (min(a[axis + 2], b[axis + 2]) - max(a[axis], b[axis]) for axis in (0, 1))
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(width, 0) * max(height, 0) / smaller


def choose_faces(faces: Sequence[Face], rule: Choose, width: int, height: int) -> tuple[list[Face], str]:
    """Return the wanted faces of a photo and why they are.

    `largest` is by the longer side of the box; `centre` is the one whose middle is nearest the photo's among those at
    least half as large as the largest, so that a stranger in the background does not win.
    """
    if len(faces) <= 1 or rule == "all":
        return list(faces), "all" if rule == "all" else "only face"
    most = max(face.side for face in faces)
    if rule == "largest":
        return [max(faces, key=lambda face: face.side)], "largest"
    large = [face for face in faces if face.side >= most / 2]
    return [min(large, key=lambda face: _off_centre(face, width, height))], "nearest the centre"


def _off_centre(face: Face, width: int, height: int) -> float:
    left, top, right, bottom = face.box
    return math.hypot((left + right - width) / 2, (top + bottom - height) / 2)


def _reduce(photo: np.ndarray, step: int) -> np.ndarray:
    return photo if step == 1 else np.asarray(Image.fromarray(photo).reduce(step))


def _sound(face: Face) -> bool:
    left, top, right, bottom = face.box
    return math.isfinite(sum(face.box)) and left < right and top < bottom


def _box(values: Sequence[float]) -> Box:
    left, top, right, bottom = (_round(value) for value in values)
    return left, top, right, bottom


def _round(value: float) -> float:
    return round(float(value), _DIGITS) + 0.0  # no -0.0
