"""Protocols: how pixels become a score.

PSNR of one picture pair moves by 1.5 dB between luma and RGB and by 0.5 dB with an 8-pixel border, more than the gains
that papers report, so every score carries the name of its protocol.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from bench.core.errors import UserError, suggest
from bench.core.limits import Line, shown, within
from bench.core.schema import canonical_json, from_dict, read_toml
from bench.data.degrade import DEFAULT, DEGRADATIONS

if TYPE_CHECKING:
    from torch import Tensor

Rounding = Literal["truncate", "round", "none"]
Weight = Annotated[float, within(-1000, 1000)]
Weights = tuple[Weight, Weight, Weight]
MATLAB = (65.481, 128.553, 24.966)  # BT.601, "studio" range: black is 16, white 235
PRESETS = Path(__file__).with_name("protocols.toml")

_LEAST_SPAN = 16  # levels from the darkest colour to the brightest; weights for values up to 255 span about 1
# Half a thousandth of a grey level: k / 255 * 255 may come out a hair below k in float32, and must still truncate to k.
_HAIR = 5e-4


@dataclass(frozen=True)
class Channel:
    """What is compared: RGB, or luma, the sum of `weights` x R, G, B in [0, 1] plus `offset`, and how it is rounded."""

    space: Literal["rgb", "luma"] = "rgb"
    weights: Weights = MATLAB
    offset: Weight = 16.0
    rounding: Rounding = "none"

    def __post_init__(self) -> None:
        if (span := sum(map(abs, self.weights))) < _LEAST_SPAN:
            expected = f"luma that spans {_LEAST_SPAN} levels at least: else pictures that differ are equal"
            raise UserError(f"weights: {list(self.weights)} given, which span {span:g} levels, expected {expected}")


@dataclass(frozen=True)
class Window:
    """SSIM's window: Gaussian of 11 pixels and sigma 1.5 or uniform of 7; over N or N - 1 pixels (`covariance`).

    `clip` takes a negative contrast-structure term as 0.
    """

    kind: Literal["gaussian", "uniform"] = "gaussian"
    size: Annotated[int, within(3, 127)] = 11
    sigma: Annotated[float, within(above=0, most=100)] = 1.5
    covariance: Literal["population", "sample"] = "population"
    clip: bool = False

    def __post_init__(self) -> None:
        if self.size % 2 == 0:
            raise UserError(f"size: {self.size} given, expected an odd number")


@dataclass(frozen=True)
class Protocol:
    """How SR and HR are brought to the numbers that PSNR and SSIM compare.

    `quantise` is how SR in [0, 1] becomes 8-bit levels ("none": it stays float, clamped or not), `border` pixels are
    cut from each side, `epsilon` is added to the mean squared error in [0, 1], and `resampler` is the degradation (see
    bench.data.degrade) by which the reference made LR.
    """

    name: Line
    source: Line
    quantise: Rounding
    psnr: Channel = Channel()
    ssim: Channel = Channel()
    window: Window = Window()
    border: Annotated[int, within(0, 1000)] = 0
    clamp: bool = True
    epsilon: Annotated[float, within(0, 1)] = 0.0
    resampler: str = DEFAULT

    def __post_init__(self) -> None:
        if self.resampler not in DEGRADATIONS:
            raise UserError(
                f"resampler: unknown degradation '{self.resampler}': {suggest(self.resampler, DEGRADATIONS)}"
            )

    @functools.cached_property
    def digest(self) -> str:
        """A hash of all that decides a score: everything but the source."""
        values = {key: value for key, value in dataclasses.asdict(self).items() if key not in ("source", "name")}
        return hashlib.sha256(canonical_json(values).encode()).hexdigest()[:12]

    def to_uint8(self, image: Tensor) -> Tensor:
        """Bring a picture in [0, 1] (any shape, float) to uint8, as it is saved; what is kept float is rounded.

        A picture that is uint8 already stays what it is.
        """
        import torch

        if image.dtype == torch.uint8:
            return image
        levels = image.to(torch.float64, copy=True).clamp_(0, 1).mul_(255)
        levels = levels.add_(_HAIR).floor_() if self.quantise == "truncate" else levels.round_()
        return levels.to(torch.uint8)

    def quantise_sr(self, sr: Tensor) -> Tensor:
        """Return SR [B, 3, H, W] as it is compared: uint8 levels, or the floats (float32, clamped or not)."""
        if self.quantise != "none":
            return self.to_uint8(sr)
        return unit(sr).clamp(0, 1) if self.clamp else unit(sr)

    def compared(self, image: Tensor, channel: Channel) -> Tensor:
        """Return what is compared of pictures [B, 3, H, W]: float64 [B, C, H', W'], white about 255.

        They are uint8 levels, or floats that are levels / 255. Raises UserError when nothing is left within the border.
        """
        if channel.space == "luma":
            parts = [self._levels(colour).div_(255) for colour in image.unbind(1)]  # thrice as fast as all at once
            red, green, blue = (part.mul_(weight) for part, weight in zip(parts, channel.weights, strict=True))
            levels = _round(red.add_(channel.offset).add_(green).add_(blue), channel.rounding).unsqueeze(1)
        else:
            levels = self._levels(image)
        height, width = levels.shape[-2:]
        if min(height, width) <= 2 * self.border:
            raise UserError(f"protocol {self.name} cuts {self.border} pixels from each side of {width}x{height}")
        return levels[..., self.border : height - self.border, self.border : width - self.border]

    def _levels(self, image: Tensor) -> Tensor:
        """Return pictures of any shape in levels, as a float64 copy, white about 255."""
        if self.quantise == "none":
            return unit(image).double().mul_(255)
        if image.is_floating_point():
            return (image.double() * 255).round_()  # float32 has moved whole levels by a hair
        return image.double()


def unit(pictures: Tensor) -> Tensor:
    """Return pictures, uint8 levels or floats, as float32 in which black is 0 and white 1."""
    return pictures.float() if pictures.is_floating_point() else pictures.float() / 255


def _round(values: Tensor, rounding: Rounding) -> Tensor:
    """Round float64 values in place; its last digits must not keep a whole number from truncating to itself."""
    if rounding == "none":
        return values
    return values.round_() if rounding == "round" else values.add_(1e-9).floor_()


def _presets() -> dict[str, Protocol]:
    """Return the presets, built unchecked: the tests check the file, and scoring needs no pydantic."""
    classes: dict[str, type[Any]] = {"psnr": Channel, "ssim": Channel, "window": Window}

    def build(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return classes[key](**{name: build(name, inner) for name, inner in value.items()})
        return tuple(value) if isinstance(value, list) else value

    given = read_toml(PRESETS)["protocols"]
    return {values["name"]: Protocol(**{key: build(key, value) for key, value in values.items()}) for values in given}


PROTOCOLS = _presets()
# What each preset said when it was first released, by its digest: what runs were scored by that record nothing else.
FIRST_RELEASED: dict[str, str] = read_toml(PRESETS)["first_released"]
DEFAULT_PROTOCOL = next(iter(PROTOCOLS))


def get_protocol(name: str) -> Protocol:
    """Return the preset `name`, or the protocol of a TOML file; raise UserError when there is none.

    A file gives `name` and whatever differs from its `base` (default: the first preset).
    """
    if name.endswith(".toml"):
        return _read(Path(name))
    if name not in PROTOCOLS:
        raise UserError(f"unknown protocol '{name}': {suggest(name, PROTOCOLS)}; one's own is a file NAME.toml")
    return PROTOCOLS[name]


def get_protocols(name: str) -> list[Protocol]:
    """Return all presets for `all`, the default first; else the one of get_protocol."""
    return list(PROTOCOLS.values()) if name == "all" else [get_protocol(name)]


def _read(path: Path) -> Protocol:
    given = read_toml(path)
    base = given.pop("base", DEFAULT_PROTOCOL)
    if not isinstance(base, str) or base not in PROTOCOLS:
        raise UserError(f"{path}: base: unknown protocol {shown(base)}: {suggest(str(base), PROTOCOLS)}")
    merged = {**dataclasses.asdict(PROTOCOLS[base]), "source": f"{path.name}, on top of {base}"}
    del merged["name"]
    for key, value in given.items():
        inner = merged.get(key)
        merged[key] = {**inner, **value} if isinstance(inner, dict) and isinstance(value, dict) else value
    protocol = from_dict(Protocol, merged, str(path))
    if protocol.name in PROTOCOLS:
        raise UserError(f"{path}: name: '{protocol.name}' given, expected a name that no preset has")
    return protocol
