"""`fsr list`: what there is to name in the other commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from bench.cli import complete
from bench.cli.common import Json, Plugins, argument, show
from bench.core.text_table import text_table

Records = list[dict[str, Any]]
WIDE = 72  # characters of a column of sentences


def list_names(
    what: Annotated[
        Literal["methods", "experiments", "profiles", "protocols", "metrics", "data"],
        argument("WHAT", "methods, experiments, profiles, protocols, metrics or data"),
    ],
    *,
    json: Json = False,
    plugin: Plugins,
) -> int:
    records = LISTS[what]()
    head = list(records[0])
    rows = [[", ".join(map(str, cell)) if isinstance(cell, list) else cell for cell in row.values()] for row in records]
    show(json, records, lambda: text_table(head, rows, widths=[None] * (len(head) - 1) + [WIDE]))
    return 0


def _methods() -> Records:
    from bench.models import registry

    specs = [registry.get(name) for name in registry.names()]
    return [
        {"id": spec.id, "title": spec.title, "year": spec.year, "venue": spec.venue, "paper": spec.paper}
        for spec in specs
    ]


def _experiments() -> Records:
    from bench.core.schema import read_toml
    from bench.runs.experiment import EXPERIMENTS

    files = {name: read_toml(EXPERIMENTS / f"{name}.toml") for name in complete.experiments()}
    return [
        {"name": name, "kind": given["kind"], "rows": len(given["rows"]), "title": given["title"]}
        for name, given in files.items()
    ]


def _profiles() -> Records:
    from bench.core.schema import read_toml
    from bench.runs.experiment import PROFILES

    files = {name: read_toml(PROFILES / f"{name}.toml") for name in complete.profiles()}
    return [
        {
            "name": name,
            "iterations": given["training"]["iterations"],
            "batch": given["training"]["batch"],
            "learning rate": f"{given['training']['learning_rate']:g}",
            "seeds": len(given["seeds"]),
            "note": given["note"],
        }
        for name, given in files.items()
    ]


def _protocols() -> Records:
    from bench.metrics.protocol import PROTOCOLS

    return [{"name": name, "source": protocol.source} for name, protocol in PROTOCOLS.items()]


def _metrics() -> Records:
    from bench.metrics.catalogue import catalogue

    return [
        {
            "name": metric.name,
            "better": "higher" if metric.higher_is_better else "lower",
            "needs": list(metric.needs),
            "source": metric.source,
        }
        for metric in catalogue().values()
    ]


def _data() -> Records:
    from bench.data.cards import read_card

    prepared = complete.data_sets()
    own = [{"name": name, "prepared": "yes", "kind": "of one's own", "title": ""} for name in prepared]
    cards = [(name, read_card(name)) for name in complete.cards()]
    return [
        {"name": name, "prepared": "yes" if name in prepared else "no", "kind": card.kind, "title": card.title}
        for name, card in cards
    ] + [record for record in own if record["name"] not in dict(cards)]


LISTS: dict[str, Callable[[], Records]] = {
    "methods": _methods,
    "experiments": _experiments,
    "profiles": _profiles,
    "protocols": _protocols,
    "metrics": _metrics,
    "data": _data,
}
