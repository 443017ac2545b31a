"""Weight files of learned metrics: where `fsr fetch` puts them, what they must be, and their tensors."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core import paths
from bench.core.errors import UserError
from bench.core.files import sha256_kept
from bench.metrics.spec import UnavailableError
from bench.models import weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class WeightFile:
    """A safetensors file in the cache folder.

    `way_out` says how it gets there. `sha256` is what its bytes must hash to; "" for a file made of one that the user
    brings, whose hash then only goes into the cache's keys.
    """

    name: str
    way_out: str
    sha256: str = ""

    @property
    def path(self) -> Path:
        """Where the file lies or would lie."""
        return paths.cache() / "weights" / f"{self.name}.safetensors"

    def digest(self) -> str:
        """Return the sha256 of the file; raise UnavailableError when it is missing or another one."""
        if not self.path.is_file():
            raise UnavailableError(f"its weights are not here: {self.way_out}")
        digest = sha256_kept(self.path)
        if self.sha256 not in ("", digest):
            wanted = f"sha256 {digest[:12]}, expected {self.sha256[:12]}"
            raise UnavailableError(f"{self.path} is damaged or another file: {wanted}: {self.way_out}")
        return digest

    def is_whole(self) -> bool:
        """Tell whether the file is there and the right one."""
        return self.path.is_file() and self.sha256 in ("", sha256_kept(self.path))

    def tensors(self, device: torch.device | str) -> dict[str, Tensor]:
        """Return the tensors by name, on `device`; raise UnavailableError as `digest` does and for a damaged file."""
        digest = self.digest()
        try:
            return _tensors(self.path, digest, device)
        except UserError as error:
            raise UnavailableError(f"{self.path}: not whole ({error}): {self.way_out}") from None


@functools.lru_cache(maxsize=4)
def _tensors(path: Path, digest: str, device: torch.device | str) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in weights.load(path)[0].items()}
