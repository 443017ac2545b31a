"""Names that the shell completes: methods, metrics, data sets, experiments. Nothing here imports torch."""

from __future__ import annotations

from pathlib import Path

from bench.core import paths
from bench.core.names import listed

_PROFILES = Path(__file__).parents[1] / "runs" / "profiles"


def methods() -> list[str]:
    """Return the ids of all methods."""
    from bench.models import registry

    return registry.names()


def metrics() -> list[str]:
    """Return the names of metrics."""
    from bench.metrics.catalogue import catalogue, pyiqa_names

    return [*catalogue(), *pyiqa_names(), "all"]


def protocols() -> list[str]:
    """Return the names of protocols."""
    from bench.metrics.protocol import PROTOCOLS

    return [*PROTOCOLS, "all"]


def degradations() -> list[str]:
    """Return the names of degradations."""
    from bench.data.degrade import DEGRADATIONS

    return list(DEGRADATIONS)


def data_sets() -> list[str]:
    """Return the data sets that are prepared."""
    from bench.data.store import prepared_datasets

    return prepared_datasets()


def cards() -> list[str]:
    """Return the data sets that can be prepared."""
    from bench.data.cards import card_names

    return card_names()


def experiments() -> list[str]:
    """Return the experiments that come with the suite."""
    from bench.runs.experiment import EXPERIMENTS

    return [path.stem for path in listed(EXPERIMENTS, "*.toml")]


def profiles() -> list[str]:
    """Return the profiles that come with the suite; importing the module that reads them takes numpy."""
    return [path.stem for path in listed(_PROFILES, "*.toml")]


def results() -> list[str]:
    """Return the experiments that have results, by their folders' names under results/; reference ones last."""
    patterns = ("*/experiment.json", "reference/*/experiment.json")
    found = [path.parent for pattern in patterns for path in listed(paths.results(), pattern)]
    return [path.relative_to(paths.results()).as_posix() for path in found]


def own_results() -> list[str]:
    """Return the experiments that have results, but for the reference ones."""
    return [name for name in results() if "/" not in name]
