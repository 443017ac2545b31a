"""`fsr prepare` and `fsr data`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.common import Command, add_device, add_source, photo_options, show, written

if TYPE_CHECKING:
    from bench.data.store import FaceStore


def _prepare(options: argparse.Namespace) -> int:
    from bench.runs.prepare import prepare

    sizes = {split: getattr(options, split) for split in ("train", "val", "test")}
    return _show_stores(options, prepare(options.dataset, photo_options(options), sizes=sizes, quiet=options.json))


def _data(options: argparse.Namespace) -> int:
    from bench.report import datasets as table

    if options.what == "show":
        files = [table.write_contact(store, options.faces) for store in table.stores_of(options.name)]
        show(options, {"written": list(map(str, files))}, lambda: written(files))
    elif options.what == "verify":
        found = [table.verify(store) for store in table.stores_of(options.name)]
        show(options, found, lambda: "\n".join(f"{one['path']}: {one['verdict']}" for one in found))
    elif options.what == "audit":
        from bench.report.audit import audit_page
        from bench.runs.prepare import write_audit

        names = dict.fromkeys(store.dataset for store in table.stores_of(options.name))
        audits = [write_audit(name, fresh=True) for name in names]
        show(options, audits, lambda: "\n".join(map(audit_page, audits)))
    else:
        rows = table.describe(options.name)
        show(options, rows, lambda: table.to_text(rows))
    return 0


def _show_stores(options: argparse.Namespace, stores: Sequence[FaceStore]) -> int:
    """Print what was prepared and where its audit is."""
    found = [
        {
            "dataset": store.dataset,
            "split": store.split,
            "faces": len(store),
            "fingerprint": store.fingerprint,
            "path": str(store.path),
            "counts": store.card.get("counts", {}),
        }
        for store in stores
    ]
    audit = stores[0].path.parent / "audit.md"
    show(options, found, lambda: "\n".join([*map(_store_line, found), f"audit: {audit}"]))
    return 0


def _store_line(store: dict[str, Any]) -> str:
    counts = ", ".join(f"{name} {count}" for name, count in store["counts"].items() if isinstance(count, int) and count)
    return f"{store['path']}: {store['faces']} faces, fingerprint {store['fingerprint'][:12]}" + (
        f" ({counts})" if counts else ""
    )


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="synthfaces, celeba, helen, lfw, widerface, webface, or folder for one's own")
    add_source(parser, "archives or folders of photos")
    parser.add_argument("--name", default="", help="what to call the prepared set (default: the data set's name)")
    parser.add_argument(
        "--split", default="test", choices=("train", "val", "test"), help="of photos that do not tell it"
    )
    parser.add_argument("--detector", choices=("mtcnn", "center", "landmarks"), help="default: that of the data card")
    parser.add_argument(
        "--margin", type=float, help="side of the crop over the longer side of the box (default: the card's)"
    )
    parser.add_argument("--border", choices=("shift", "reflect", "skip"), help="where a crop leaves the photo")
    parser.add_argument(
        "--manifest",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="CSV",
        help="crop from these boxes alone",
    )
    parser.add_argument("--redetect", action="store_true", help="do not use the manifests that come with the data card")
    parser.add_argument(
        "--identities", type=Path, metavar="FILE", help="who is in which photo, e.g. identity_CelebA.txt"
    )
    parser.add_argument("--drop-leaks", action="store_true", help="leave out faces that training and test sets share")
    parser.add_argument(
        "--processes", type=int, default=0, metavar="N", help="processes on a CPU (default: one a core)"
    )
    for split in ("train", "val", "test"):
        parser.add_argument(f"--{split}", type=int, help=f"how many {split} faces to generate (synthfaces)")
    parser.add_argument("--strict", action="store_true", help="fail on the first file that would be left out")
    add_device(parser)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="?",
        choices=("list", "show", "verify", "audit"),
        default="list",
        help="list (default); show: write contact sheets; verify: hash the faces again; audit: make audits anew",
    )
    parser.add_argument("name", nargs="?", help="a data set (default: all)")
    parser.add_argument("--faces", type=int, default=6, help="faces on a contact sheet")


COMMANDS = (
    Command("prepare", "make a data set's faces from photos or, for synthfaces, from seeds", _prepare, _add_prepare),
    Command("data", "list, show, verify or audit prepared faces", _data, _add_data),
)
