"""Scores of one method on one face set, a row an image."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bench.core.errors import UserError
from bench.core.stop import guarded
from bench.data.degrade import DEFAULT, degrade
from bench.metrics.catalogue import DEFAULT as DEFAULT_METRICS
from bench.metrics.catalogue import get_metrics
from bench.metrics.protocol import get_protocol
from bench.metrics.scoring import Scorer, to_levels
from bench.models import registry
from bench.models.cost import HR_SIZE
from bench.runs.chance import Generators
from bench.runs.draws import SampleScorer
from bench.runs.scores import ScoreSheet, make_sheet
from bench.runs.soundness import is_finite

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.data.store import FaceStore
    from bench.metrics.cache import ScoreCache
    from bench.metrics.protocol import Protocol
    from bench.runs.config import RunConfig
    from bench.runs.records import SamplesRecord
    from bench.runs.store import Run

BATCH = 16
DRAWS = "draws at random while it enlarges: each face is enlarged alone, with a seed made of run and face"
MIXES = "lets the faces of a batch change each other's pictures: each face is enlarged alone"
UNSEEDED = "draws at random from a source that cannot be seeded: its scores differ from call to call"


def low_resolution(hr: np.ndarray, scale: int, degradation: str = DEFAULT, seed: int = 0) -> np.ndarray:
    """Return the faces uint8 [N, H, W, 3] degraded, by default by PIL bicubic: uint8 [N, H/scale, W/scale, 3]."""
    return degrade(np.ascontiguousarray(hr), scale, degradation, seed)


def to_tensor(faces: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Turn uint8 [N, H, W, 3] into float32 [N, 3, H, W] in [0, 1], channels last in memory."""
    return torch.from_numpy(np.array(faces)).to(device).permute(0, 3, 1, 2).float() / 255


class Enlarger:
    """A network that enlarges faces, always in float32 and in evaluation mode, whatever the training was.

    What a method draws at random while it enlarges depends on `key`, which names its run (see RunConfig.chance), and on
    the bytes of the face: not on batch, order, process or what was drawn before, and nobody else's random numbers are
    disturbed by it. So a method that draws gets one face at a time, as does one whose pictures depend on the others of
    a batch; the rest keep their batches. `chance` says which of these holds, "" for the rest.
    """

    def __init__(self, model: nn.Module, device: torch.device, key: str) -> None:
        self._model, self._device, self._key = model, device, key
        self._generators = Generators(model, device)
        self._checked = False
        self.chance: str = ""

    def __call__(self, lr: np.ndarray) -> Iterator[Tensor]:
        """Yield the pictures of uint8 [N, h, w, 3], batch by batch: float [b, 3, H, W] on the device, unclamped."""
        self._model.eval()
        for start in range(0, len(lr), BATCH):
            yield self._enlarge(lr[start : start + BATCH])

    def _enlarge(self, lr: np.ndarray) -> Tensor:
        if not self.chance:
            sr, drawn = self._draw(lr)
            self.chance = DRAWS if drawn else ""
            self._check(lr[-1:], sr[-1:], len(lr))
            if not self.chance:
                return sr
        return torch.cat([self._draw(face)[0] for face in lr[:, None]])

    @torch.no_grad()
    def _draw(self, lr: np.ndarray) -> tuple[Tensor, bool]:
        """Return the pictures of faces that are enlarged together, and whether a random number was drawn.

        Raises TypeError where the network gives no pictures.
        """
        digest = hashlib.sha256(f"{self._key}\0{lr[0].shape}\0".encode() + lr[0].tobytes()).digest()
        with self._generators.seeded(int.from_bytes(digest[:7])) as drawn:
            sr = self._model(to_tensor(lr, self._device))
        if not isinstance(sr, torch.Tensor) or sr.ndim != 4 or len(sr) != len(lr):
            came = f"{type(sr).__name__} {list(sr.shape) if hasattr(sr, 'shape') else ''}".strip()
            raise TypeError(f"forward gives {came}, expected a Tensor [{len(lr)}, 3, height, width]")
        return sr.float(), drawn[0]

    def _check(self, lr: np.ndarray, sr: Tensor, count: int) -> None:
        """See once whether a face alone gives the same picture twice, and the one that it had among `count`."""
        if self._checked:
            return
        self._checked = count > 1
        (alone, drawn), (again, _) = self._draw(lr), self._draw(lr)
        if not _alike(alone, again):
            self.chance = UNSEEDED
        elif drawn:
            self.chance = DRAWS
        elif not _alike(alone, sr):
            self.chance = MIXES


class Made:
    """Pictures that were made elsewhere, uint8 [N, H, W, 3], in place of an Enlarger that would make them."""

    chance = ""

    def __init__(self, pictures: np.ndarray, device: torch.device) -> None:
        self._pictures, self._device = pictures, device

    def __call__(self, lr: np.ndarray) -> Iterator[Tensor]:
        """Yield the pictures in batches: uint8 [b, 3, H, W] on the device."""
        for start in range(0, len(lr), BATCH):
            yield to_levels(self._pictures[start : start + BATCH], self._device)


def _alike(a: Tensor, b: Tensor) -> bool:
    """Tell whether pictures, as they are scored where they break down, differ by rounding alone."""
    shown = [torch.nan_to_num(picture, nan=0.0).clamp(0, 1) for picture in (a, b)]
    return float((shown[0] - shown[1]).abs().mean()) < 1e-3


def score_pictures(
    sr: Tensor, hr: np.ndarray, protocol: str, metrics: Sequence[str] = ("psnr", "ssim")
) -> dict[str, list[float]]:
    """Score SR [b, 3, H, W] (float, [0, 1]) against HR uint8 [b, H, W, 3]: metric -> one value an image.

    Raises UserError when SR holds NaN or has another size.
    """
    scorer = Scorer(get_metrics(metrics), [get_protocol(protocol)])
    scorer.add(sr, hr)
    return {metric: values.tolist() for (_, metric), values in scorer.finish().values.items()}


def psnr_of(model: nn.Module, hr: np.ndarray, config: RunConfig, device: torch.device) -> float:
    """Return the mean PSNR in dB of a run's model over uint8 [N, H, W, 3]; NaN when its output is not finite."""
    values: list[float] = []
    for sr in Enlarger(model, device, config.chance)(low_resolution(hr, config.scale)):
        if not bool(is_finite(sr).all()):
            return math.nan
        values += score_pictures(sr, hr[len(values) : len(values) + len(sr)], config.protocol, ["psnr"])["psnr"]
    return float(np.mean(values))


@dataclass(frozen=True)
class Evaluation:
    """Scores of one method on one face set.

    `pictures` are the first super-resolved faces, uint8 [n, H, W, 3], and `unavailable` says why a metric has no score.
    `broken` names the faces whose picture held NaN or infinity, `chance` is Enlarger's, `samples` tells how far apart
    several of a face are, `remarks` are those of Scores.
    """

    scores: ScoreSheet
    pictures: np.ndarray
    unavailable: Mapping[str, str]
    broken: tuple[str, ...] = ()
    chance: str = ""
    samples: SamplesRecord | None = None
    remarks: Mapping[str, str] = field(default_factory=dict)


def check_draws(method: str, options: Mapping[str, Any], samples: int, where: str) -> None:
    """Raise UserError, beginning with `where`, for samples of a method that draws nothing while it enlarges.

    That is seen on a picture of noise, by a network without training; UserError too where the method fails on it.
    """
    scale = int(options.get("scale", 8))
    noise = np.random.default_rng(0).integers(0, 256, (1, HR_SIZE // scale, HR_SIZE // scale, 3), np.uint8)
    with guarded(f"method '{method}'"):
        enlarge = Enlarger(registry.build(method, options), torch.device("cpu"), "")
        list(enlarge(noise))
    if enlarge.chance not in (DRAWS, UNSEEDED):
        same = f"method '{method}' draws nothing at random, each would be the same; leave it out"
        raise UserError(f"{where}: samples: {samples} asked, but {same}")


def evaluate(
    run: Run,
    model: nn.Module | Made,
    store: FaceStore,
    count: int,
    device: torch.device,
    *,
    pictures: int = 0,
    degradation: str = DEFAULT,
    metrics: Sequence[str] = DEFAULT_METRICS,
    protocols: Sequence[Protocol] = (),
    cache: ScoreCache | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Score `model` on the first `count` faces of `store`, and keep the first `pictures` super-resolved faces.

    In place of a model stand pictures that were made elsewhere. Where the run asks for several samples of each face,
    a score is their mean, and the first one's picture is kept.

    Every metric is scored under the run's protocol, and those that look at colour or border under each of `protocols`
    too. A real-world set, which has no ground truth, is super-resolved as it is and takes no-reference metrics alone.
    `progress` is told how many faces are done.
    A picture with NaN or infinity is scored with NaN as black and infinity as the end of the range, as an 8-bit file
    holds it: a network that breaks down on a few faces must not look better for it. Raises UserError when all pictures
    are such, or none of the metrics can be had.
    """
    config = run.config
    rules = {rule.name: rule for rule in (get_protocol(config.protocol), *protocols)}

    def make_scorer(names: Sequence[str] | None) -> Scorer:
        asked = get_metrics(metrics if names is None else names)
        return Scorer(asked, list(rules.values()), scale=config.scale, degradation=degradation, cache=cache)

    keys = config.draws[:1] if isinstance(model, Made) else config.draws
    scorer = SampleScorer(make_scorer, len(keys), rules[config.protocol])
    faces, kept, broken, start = store.faces[:count], [], [], 0
    lr = low_resolution(faces, config.scale, degradation) if store.has_truth else np.ascontiguousarray(faces)
    enlargers = [model if isinstance(model, Made) else Enlarger(model, device, key) for key in keys]
    for samples in zip(*(enlarge(lr) for enlarge in enlargers), strict=True):
        end = start + len(samples[0])
        finite = torch.stack([is_finite(sr) for sr in samples]).all(0).tolist()
        broken += [name for name, whole in zip(store.names[start:end], finite, strict=True) if not whole]
        shown = [torch.nan_to_num(sr, nan=0.0, posinf=1.0, neginf=0.0) for sr in samples]
        scorer.add(shown, faces[start:end] if store.has_truth else None, lr[start:end])
        if start < pictures:
            kept.append(rules[config.protocol].to_uint8(shown[0]).permute(0, 2, 3, 1).cpu().numpy())
        start = end
        progress(end)
    if len(broken) == count:
        raise UserError(f"the network's output holds NaN or infinity on every face of {store.dataset}")
    scores, several = scorer.finish()
    if not scores.values:
        raise UserError(
            f"{store.dataset}: no metric can be had: "
            + "; ".join(f"{name} {why}" for name, why in scores.unavailable.items())
        )
    size = config.scale * lr.shape[1]
    first = np.concatenate(kept)[:pictures] if kept else np.empty((0, size, size, 3), np.uint8)
    sheet = make_sheet(store.dataset, store.fingerprint_of(count), store.names[:count], scores.values)
    return Evaluation(sheet, first, scores.unavailable, tuple(broken), enlargers[0].chance, several, scores.remarks)
