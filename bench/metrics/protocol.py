"""Protocols: how pixels become a score.

PSNR of one picture pair moves by 1.5 dB between luma and RGB and by 0.5 dB with an 8-pixel border, more than the gains
that papers report, so every score carries the name of its protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bench.errors import UserError, suggest

if TYPE_CHECKING:
    from torch import Tensor

# Half a thousandth of a grey level: k / 255 * 255 may come out a hair below k in float32, and must still truncate to k.
_HAIR = 5e-4


@dataclass(frozen=True)
class Protocol:
    """How SR and HR are brought to the numbers that PSNR and SSIM compare.

    `quantise` is how a picture in [0, 1] becomes uint8 and how its luma does; `luma` weighs R, G, B in [0, 255] and
    `offset` is added; `border` pixels are cut from each side.
    """

    name: str
    quantise: Literal["truncate", "round"]
    luma: tuple[float, float, float]
    offset: float
    border: int
    source: str

    def to_uint8(self, image: Tensor) -> Tensor:
        """Clamp a picture in [0, 1] (any shape, float) and bring it to uint8 as the protocol says."""
        import torch

        levels = image.double().clamp(0, 1) * 255
        levels = levels.round() if self.quantise == "round" else (levels + _HAIR).floor()
        return levels.to(torch.uint8)

    def to_luma(self, image: Tensor) -> Tensor:
        """Turn uint8 RGB [B, 3, H, W] into the compared channel: float64 [B, H', W'], whole numbers in [0, 255]."""
        red, green, blue = image.double().unbind(1)
        luma = self.offset + (self.luma[0] * red + self.luma[1] * green + self.luma[2] * blue) / 255
        # Rounding away the last float64 digits keeps a luma that is a whole number from truncating to the one below.
        luma = luma.round() if self.quantise == "round" else (luma + 1e-9).floor()
        return luma[:, self.border : luma.shape[1] - self.border, self.border : luma.shape[2] - self.border]


PROTOCOLS = {
    "sparnet": Protocol(
        name="sparnet",
        quantise="truncate",
        luma=(65.481, 128.553, 24.966),
        offset=16.0,
        border=0,
        source="SPARNet's released evaluation: MATLAB (BT.601) luma truncated to uint8, no border crop",
    )
}


def get_protocol(name: str) -> Protocol:
    """Return the protocol `name`; raise UserError with the nearest name when there is none."""
    if name not in PROTOCOLS:
        raise UserError(f"unknown protocol '{name}': {suggest(name, PROTOCOLS)}")
    return PROTOCOLS[name]
