"""`fsr claims`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import complete
from bench.cli.common import Json, Plugins, results_folder, show
from bench.cli.results import Names
from bench.core import paths
from bench.core.errors import UserError

if TYPE_CHECKING:
    from bench.analysis.results import Results

log = logging.getLogger("fsr")
_KEPT = "reference/"  # how names of results/reference/ begin


def claims(
    experiment: Names,
    *,
    reference: Annotated[
        bool, typer.Option("--reference", help="what all of results/reference/ says, the main experiment first")
    ] = False,
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.report.claims_json import claims_json, claims_text

    if reference and experiment:
        raise UserError(f"{experiment[0]}: not together with --reference, which judges all of results/reference/")
    chosen = _kept() if reference else _named(experiment)
    damaged = [line for results in chosen.values() for line in results.damaged]
    for line in damaged:
        log.warning("fsr: left out: %s", line)
    main = dict(list(chosen.items())[:1]) if reference else chosen
    show(json, claims_json(chosen, smoke=not reference) if json else None, lambda: claims_text(main))
    return 1 if damaged else 0


def _kept() -> dict[str, Results]:
    """Read the kept experiments, which lend each other how seeds vary, as their reports do; the main one first."""
    from bench.report.findings import read_reference
    from bench.report.first_screen import by_weight

    return {f"{_KEPT}{one.folder.name}": one for one in by_weight(read_reference())}


def _named(names: list[str]) -> dict[str, Results]:
    from bench.analysis.results import read_results

    own = complete.own_results()
    if not (names or own):
        raise UserError(
            f"{paths.results()}: no results yet; run `make ablation` or `fsr run ablation` first, or give --reference"
        )
    folders = {name: results_folder(name) for name in names or own}
    kept = _kept() if any(name.startswith(_KEPT) for name in folders) else {}
    return {name: kept[name] if name in kept else read_results(folder) for name, folder in folders.items()}
