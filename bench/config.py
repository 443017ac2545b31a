"""What decides a run, and the hash that names it.

Every value that can change a run's bytes is a field here; nothing else is. TOML is read into these frozen classes, and
their canonical JSON is hashed into the run's id.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from bench.errors import UserError, suggest
from bench.options import check_value

_T = TypeVar("_T")


@dataclass(frozen=True)
class Augment:
    """Random changes to a training face (paper, section 4.1).

    `scale` is the range of the zoom: a window of 1/zoom of the side, at a random place, is resized to the full side.
    The paper says "random scaling"; the range 1.0-1.3 is that of SPARNet's released code. `rot90` turns by 0, 90, 180
    or 270 degrees with equal chance: the paper names it, SPARNet's code does not do it.
    """

    flip: bool = True
    scale: tuple[float, float] = (1.0, 1.3)
    rot90: bool = False

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 1.0 <= low <= high <= 4.0:
            raise UserError(f"augment.scale: [{low}, {high}] given, expected two numbers with 1 <= low <= high <= 4")


@dataclass(frozen=True)
class Training:
    """The budget and the optimiser: Adam on the method's loss (L1 unless it has its own).

    `ema` is the decay of an average of the weights (0: none) and `clip` the largest gradient norm (0: no clipping).
    `warmup` and `validate_every` are in iterations: the learning rate rises on a line before its schedule begins, and
    points of the training curve are that far apart.
    """

    iterations: int
    batch: int = 16
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.99)
    schedule: Literal["constant", "linear", "cosine", "onecycle"] = "cosine"
    warmup: int = 0
    ema: float = 0.0
    clip: float = 0.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    channels_last: bool = True
    compile: bool = False
    validate_every: int = 1000
    augment: Augment = field(default_factory=Augment)

    def __post_init__(self) -> None:
        for name in ("iterations", "batch", "validate_every", "learning_rate"):
            _require(getattr(self, name) > 0, f"training.{name}", getattr(self, name), "more than 0")
        for beta in self.betas:
            _require(0 <= beta < 1, "training.betas", self.betas, "two numbers from 0 up to, not including, 1")
        _require(0 <= self.ema < 1, "training.ema", self.ema, "from 0 (off) up to, not including, 1")
        _require(
            0 <= self.warmup < self.iterations, "training.warmup", self.warmup, "0 up to, not including, iterations"
        )
        _require(self.clip >= 0, "training.clip", self.clip, "0 (off) or more")


@dataclass(frozen=True)
class DataRef:
    """The first `faces` faces of a face store, held to its fingerprint."""

    dataset: str
    split: str
    faces: int
    fingerprint: str


@dataclass(frozen=True)
class RunConfig:
    """All that decides a run. A method that is not trained has neither training, data nor seed 0 < s."""

    method: str
    options: Mapping[str, Any]
    scale: int
    seed: int
    protocol: str
    training: Training | None = None
    train: DataRef | None = None
    val: DataRef | None = None

    @property
    def id(self) -> str:
        """The run's id: the first 12 hexadecimal digits of SHA-256 over the canonical JSON of this config."""
        return hashlib.sha256(canonical_json(dataclasses.asdict(self)).encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """The run's folder name, e.g. `msfnet-8-s0-1a2b3c4d5e6f`."""
        return f"{self.method}-s{self.seed}-{self.id}"


def canonical_json(value: object) -> str:
    """Write `value` as JSON with sorted keys and no spaces, so that equal configs give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raise UserError that names the file and line when it is damaged."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid TOML: {error}") from None


def find_file(name: str, folder: Path, what: str) -> Path:
    """Return the TOML file that `name` means: a path, or a name in `folder`."""
    if name.endswith(".toml"):
        return Path(name)
    known = sorted(path.stem for path in folder.glob("*.toml"))
    if name not in known:
        raise UserError(f"unknown {what} '{name}': {suggest(name, known)}")
    return folder / f"{name}.toml"


def override_setting(settings: dict[str, Any], override: str) -> None:
    """Set one `key.key=value` in nested tables; the value is TOML, or a text as it stands."""
    key, equals, text = override.partition("=")
    if not equals:
        raise UserError(f"--set {override}: expected key=value, e.g. training.iterations=50")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *tables, last = key.split(".")
    for table in tables:
        settings = settings.setdefault(table, {})
        if not isinstance(settings, dict):
            raise UserError(f"--set {override}: '{table}' is not a table")
    settings[last] = value


def from_dict(cls: type[_T], given: Mapping[str, Any], where: str) -> _T:
    """Build the dataclass `cls` from plain values, nested dataclasses included.

    Raises UserError, beginning with `where`, for an unknown key (with the nearest known one), a missing key or a value
    of the wrong type or range.
    """
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in fields:
            raise UserError(f"{where}: unknown key '{key}': {suggest(key, fields)}")
        values[key] = _convert(value, hints[key], f"{where}: {key}")
    for key, one in fields.items():
        if key not in values and one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
            raise UserError(f"{where}: key '{key}' is missing")
    try:
        return cls(**values)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _convert(value: Any, hint: Any, where: str) -> Any:
    """Convert a plain value to `hint`, which may be a dataclass, a tuple of dataclasses or a mapping."""
    arguments = typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: {value!r} given, expected a table")
        return from_dict(hint, value, where)
    if arguments and dataclasses.is_dataclass(arguments[0]) and isinstance(arguments[0], type):
        if type(None) in arguments:
            return None if value is None else _convert(value, arguments[0], where)
        if not isinstance(value, list | tuple):
            raise UserError(f"{where}: {value!r} given, expected a list of tables")
        return tuple(_convert(item, arguments[0], f"{where}[{index}]") for index, item in enumerate(value))
    if typing.get_origin(hint) in (Mapping, dict) or typing.get_origin(hint) is typing.get_origin(Mapping[str, Any]):
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: {value!r} given, expected a table")
        return dict(value)
    return check_value(value, hint, where)


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise UserError(f"{name}: {value} given, expected {expected}")
