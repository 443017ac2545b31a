"""Training as the published trainer of SPARNet's authors does it, written from descriptions: nothing is copied.

A face at a time by PIL in worker processes, float32, contiguous memory, torch's plain Adam.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

if TYPE_CHECKING:
    from torch import Tensor

BICUBIC = Image.Resampling.BICUBIC
QUALITY = 90


class PublishedFaces(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Face i -> (lr, hr), both float32 [3, size, size] in [0, 1]: lr is shrunk by `scale` and enlarged again.

    A mirror image every second time, then a random crop of `area` times the picture with a ratio of width to height
    in `aspect`, resized to `size`: what SPARNet's code calls Scale(1.0, 1.3). (It shifts both pictures to [-1, 1]
    here; ours does so inside of the network, which costs the same.)
    """

    def __init__(
        self,
        files: Sequence[Path],
        *,
        size: int = 128,
        scale: int = 8,
        area: tuple[float, float] = (0.7, 1.0),
        aspect: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        self.files, self.size, self.scale, self.area, self.aspect = list(files), size, scale, area, aspect

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        with Image.open(self.files[index]) as file:
            face = file.convert("RGB")
        if random.random() < 0.5:
            face = face.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        hr = face.crop(self.window(*face.size)).resize((self.size, self.size), BICUBIC)
        small = hr.resize((self.size // self.scale, self.size // self.scale), BICUBIC)
        return _to_tensor(small.resize(hr.size, BICUBIC)), _to_tensor(hr)

    def window(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Draw a crop (left, top, right, bottom); the whole picture when ten draws do not fit into it."""
        for _ in range(10):
            area = random.uniform(*self.area) * width * height
            aspect = math.exp(random.uniform(*map(math.log, self.aspect)))
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if w <= width and h <= height:
                left, top = random.randint(0, width - w), random.randint(0, height - h)
                return left, top, left + w, top + h
        return 0, 0, width, height


class PublishedBatches:
    """Batches (lr, hr), float32 [B, 3, H, W] each, made by worker processes that live as long as this object."""

    def __init__(self, faces: PublishedFaces, batch: int, workers: int) -> None:
        self._count, self._faces, self._batch = 1, len(faces), batch
        # A pass has as many batches as were asked for, so that workers rest while something else is timed.
        self._loader = DataLoader(faces, batch_sampler=self, num_workers=workers, persistent_workers=workers > 0)

    def __iter__(self) -> Iterator[list[int]]:
        return (torch.randint(self._faces, (self._batch,)).tolist() for _ in range(self._count))

    def take(self, count: int) -> Iterator[Any]:
        """Yield so many batches of faces drawn at random."""
        self._count = count
        return iter(self._loader)


def write_files(faces: np.ndarray, folder: Path) -> list[Path]:
    """Write faces, uint8 [N, H, W, 3], as JPEG files, which PIL decodes faster than PNG; return their paths."""
    files = [folder / f"{place}.jpg" for place in range(len(faces))]
    for file, face in zip(files, faces, strict=True):
        Image.fromarray(face).save(file, quality=QUALITY)
    return files


def _to_tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().float().div(255)
