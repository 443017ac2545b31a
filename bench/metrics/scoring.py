"""Scores of pictures under metrics and protocols, computed once for each content."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from bench.core import paths
from bench.core.errors import UserError
from bench.data.degrade import DEFAULT
from bench.metrics.cache import ScoreCache, content, key_of
from bench.metrics.parts import in_parts, small_operations
from bench.metrics.spec import AT_ONCE, Batch, Described, Description, Metric, Pairwise, UnavailableError

if TYPE_CHECKING:
    from torch import Tensor

    from bench.metrics.protocol import Protocol

log = logging.getLogger("fsr")
_NEEDS = {"hr": "ground truth", "lr": "the low-resolution input"}


@dataclass(frozen=True)
class Scores:
    """What a Scorer computed: (protocol, metric) -> one value a picture, and why metrics have none.

    `remarks` say, by metric, what must be known of these pictures.
    """

    values: Mapping[tuple[str, str], np.ndarray]
    unavailable: Mapping[str, str]
    remarks: Mapping[str, str] = field(default_factory=dict)


def shared_cache() -> ScoreCache:
    """Return the cache that all commands of this user share."""
    return ScoreCache(paths.cache() / "scores.sqlite")


class Scorer:
    """Takes pictures batch by batch, then returns their scores.

    The first of `protocols` scores every metric; the others those that depend on colour space, border or window. A
    metric that cannot run is named once in the log and left out. `scale` and `degradation` are how LR was made.
    """

    def __init__(
        self,
        metrics: Sequence[Metric],
        protocols: Sequence[Protocol],
        *,
        scale: int = 8,
        degradation: str = DEFAULT,
        cache: ScoreCache | None = None,
    ) -> None:
        self.metrics, self.protocols = tuple(metrics), tuple(protocols)
        self.scale, self.degradation = scale, degradation
        self._cache = cache or ScoreCache(None)
        self._parts: dict[tuple[str, str], list[np.ndarray]] = {}
        self._descriptions: dict[tuple[str, str], list[np.ndarray]] = {}  # (description, "sr" or "hr") -> rows
        self.unavailable: dict[str, str] = {}
        self._remarks: dict[str, str] = {}

    def add(self, sr: Tensor, hr: np.ndarray | None = None, lr: np.ndarray | None = None) -> None:
        """Score SR [b, 3, H, W] with HR and LR, uint8 [b, ., ., 3], where there are.

        SR is float, black to white being [0, 1], or uint8, pictures as they were saved.

        Raises UserError when SR holds NaN or infinity, or has another size than HR.
        """
        if sr.is_floating_point() and not bool(torch.isfinite(sr).all()):
            raise UserError("the network's output holds NaN or infinity")
        if hr is not None and tuple(sr.shape) != (len(hr), 3, *hr.shape[1:3]):
            expected = [len(hr), 3, *hr.shape[1:3]]
            raise UserError(f"the network's output has shape {list(sr.shape)}, expected {expected}")
        given = {"hr": hr, "lr": lr}
        for metric in self.metrics:
            if missing := [_NEEDS[need] for need in metric.needs if given[need] is None]:
                self.unavailable[metric.name] = f"needs {' and '.join(missing)}"
        with small_operations() if sr.device.type == "cpu" else contextlib.nullcontext():
            self._add(sr, hr, lr)

    def _add(self, sr: Tensor, hr: np.ndarray | None, lr: np.ndarray | None) -> None:
        sides = {"hr": hr, "lr": lr}
        contents = {name: _contents(pictures) for name, pictures in sides.items() if pictures is not None}
        given = _levels(hr, sr), _levels(lr, sr)
        made: dict[tuple[str, bool], tuple[Tensor, np.ndarray, list[bytes]]] = {}
        for protocol in self.protocols:
            if (way := (protocol.quantise, protocol.clamp)) not in made:  # several may make one picture of SR
                levels = _saved(protocol, sr)
                pictures = np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())
                kept = protocol.quantise == "none"
                compared = protocol.quantise_sr(sr) if kept else levels
                made[way] = compared, pictures, _contents(compared.cpu().numpy() if kept else pictures)
            compared, _, contents["sr"] = made[way]
            batch = Batch(compared, *given, protocol, self.scale, self.degradation)
            for metric in self.metrics:
                if isinstance(metric, Pairwise) and (metric.colour or protocol is self.protocols[0]):
                    self._attempt([metric], partial(self._compare, metric, batch, contents))
        first = self.protocols[0]
        _, pictures, contents["sr"] = made[first.quantise, first.clamp]
        self._describe_all({"sr": pictures, "hr": hr}, contents)

    def finish(self) -> Scores:
        """Return the scores of all pictures added, in their order."""
        for metric in self.metrics:
            if isinstance(metric, Described):
                self._attempt([metric], partial(self._compare_described, metric))
        values = {key: np.concatenate(parts) for key, parts in self._parts.items() if key[1] not in self.unavailable}
        return Scores(values, dict(self.unavailable), dict(self._remarks))

    def _compare(self, metric: Pairwise, batch: Batch, contents: Mapping[str, Sequence[bytes]]) -> None:
        what: dict[str, object] = {"metric": metric.name, "parameters": dict(metric.parameters())}
        if metric.colour:
            what["protocol"] = batch.protocol.digest
        if "lr" in metric.needs:
            what |= {"scale": self.scale, "degradation": self.degradation}
        pairs = zip(*(contents[name] for name in ("sr", *metric.needs)), strict=True)
        values = self._cached(
            [key_of(what, pair) for pair in pairs],
            lambda places: metric.compute(batch.take(places)).double().cpu().numpy()[:, None],
        )
        self._parts.setdefault((batch.protocol.name, metric.name), []).append(values[:, 0])

    def _compare_described(self, metric: Described) -> None:
        sides = [self._descriptions.get((metric.description.name, side), []) for side in ("sr", *metric.needs)]
        if all(sides):
            values = metric.compare(*map(np.concatenate, sides))
            self._parts[self.protocols[0].name, metric.name] = [values]
            if "hr" in metric.needs and (remark := metric.remark(np.concatenate(sides[-1]))):
                self._remarks[metric.name] = remark

    def _describe_all(self, pictures: Mapping[str, np.ndarray | None], contents: Mapping[str, Sequence[bytes]]) -> None:
        """Describe each picture of a side, uint8 [b, H, W, 3], once for all the metrics that share a description."""
        described = [metric for metric in self.metrics if isinstance(metric, Described)]
        for name in dict.fromkeys(metric.description.name for metric in described):
            sharing = [metric for metric in described if metric.description.name == name]
            for side in ("sr", "hr") if any("hr" in metric.needs for metric in sharing) else ("sr",):
                if pictures[side] is not None:
                    self._attempt(sharing, partial(self._describe, sharing[0].description, side, pictures, contents))

    def _describe(
        self,
        description: Description,
        side: str,
        pictures: Mapping[str, np.ndarray | None],
        contents: Mapping[str, Sequence[bytes]],
    ) -> None:
        rows = self._rows(description, side, pictures, contents)
        self._descriptions.setdefault((description.name, side), []).append(rows)

    def _rows(
        self,
        description: Description,
        side: str,
        pictures: Mapping[str, np.ndarray | None],
        contents: Mapping[str, Sequence[bytes]],
    ) -> np.ndarray:
        """Return the descriptions of one side's pictures, within the frames that HR gives where there are any."""
        own, of, beside = pictures[side], [contents[side]], list[np.ndarray]()
        assert own is not None
        if description.frame is not None:
            beside = [self._rows(description.frame, "hr", pictures, contents)]
            of.append(contents["hr"])
        what = {"description": description.name, "parameters": dict(description.parameters())}
        return self._cached(
            [key_of(what, each) for each in zip(*of, strict=True)],
            lambda places: description.describe(*(rows[places] for rows in (own, *beside))),
        )

    def _cached(self, keys: Sequence[bytes], compute: Callable[[list[int]], np.ndarray]) -> np.ndarray:
        """Return a row for each key: from the cache, else from `compute`, given the places of the missing ones."""
        rows = self._cache.find(keys)
        if missing := [place for place, key in enumerate(keys) if key not in rows]:
            new = dict(zip((keys[place] for place in missing), compute(missing), strict=True))
            self._cache.add(new)
            rows |= new
        return np.stack([rows[key] for key in keys])

    def _attempt(self, metrics: Sequence[Metric], step: Callable[[], None]) -> None:
        """Take a step for metrics that are still to be had; where they cannot run they are dropped."""
        left = [metric for metric in metrics if metric.name not in self.unavailable]
        if not left:
            return
        try:
            step()
        except UnavailableError as error:
            for metric in left:
                self.unavailable[metric.name] = str(error)
                log.warning("%s: not scored: %s", metric.name, error)


def _contents(pictures: np.ndarray) -> list[bytes]:
    return [content(picture) for picture in pictures]


def _saved(protocol: Protocol, sr: Tensor) -> Tensor:
    """Return SR [b, 3, H, W] as the protocol saves it: uint8, in the same order in memory."""
    return in_parts(protocol.to_uint8, (sr,), max(1, AT_ONCE // (sr.shape[-2] * sr.shape[-1])))


def _levels(pictures: np.ndarray | None, like: Tensor) -> Tensor | None:
    """Turn uint8 [b, h, w, 3] into uint8 [b, 3, h, w] on the device of `like`."""
    return None if pictures is None else to_levels(pictures, like.device)


def to_levels(pictures: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Turn pictures, uint8 [b, h, w, 3], into uint8 [b, 3, h, w], as a Scorer takes them; no copy if it can be."""
    return torch.from_numpy(np.require(pictures, requirements="W")).to(device).permute(0, 3, 1, 2)
