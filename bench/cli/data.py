"""`fsr prepare` and `fsr data`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench.cli import complete
from bench.cli.common import Device, Json, Margin, Plugins, Split, argument, option, several, show, written
from bench.core.errors import UserError
from bench.core.limits import within

if TYPE_CHECKING:
    from bench.data.store import FaceStore
FACES, PROCESSES = within(1, 10**8), within(1, 1024)
MOST_SHOWN = 10_000


def prepare(
    dataset: Annotated[
        str, argument("DATASET", "what has a card in datasets/, or folder for photos of one's own", complete.cards)
    ],
    *,
    source: Annotated[list[Path], several("TAR|DIR...", "archives or folders of photos")],
    name: Annotated[str, option("NAME", "what to call the prepared set (default: the data set's name)")] = "",
    split: Annotated[Split, typer.Option(help="of photos that do not tell it")] = "test",
    detector: Annotated[
        Literal["mtcnn", "center", "landmarks"] | None, typer.Option(help="default: that of the data card")
    ] = None,
    margin: Margin = None,
    border: Annotated[
        Literal["shift", "reflect", "skip"] | None, typer.Option(help="where a crop leaves the photo")
    ] = None,
    manifest: Annotated[list[Path], several("CSV...", "crop from these boxes alone")],
    redetect: Annotated[
        bool, typer.Option("--redetect", help="do not use the manifests that come with the data card")
    ] = False,
    identities: Annotated[
        Path | None, option("FILE", "who is in which photo: a line a photo, its name and a number")
    ] = None,
    drop_leaks: Annotated[
        bool, typer.Option("--drop-leaks", help="leave out faces that training and test sets share")
    ] = False,
    drop_duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="leave out faces that their split has already")
    ] = False,
    processes: Annotated[int | None, option("N", "processes on a CPU (default: one a core)", rule=PROCESSES)] = None,
    train: Annotated[int | None, option("N", "how many training faces to generate", rule=FACES)] = None,
    val: Annotated[int | None, option("N", "how many validation faces to generate", rule=FACES)] = None,
    test: Annotated[int | None, option("N", "how many test faces to generate", rule=FACES)] = None,
    strict: Annotated[bool, typer.Option("--strict", help="fail on the first file that would be left out")] = False,
    device: Device = "auto",
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.cli.faces import prepare as make_faces
    from bench.core.machine import cores
    from bench.data.photoset import PhotoOptions
    from bench.data.scan import ScanOptions

    options = PhotoOptions(
        source,
        name,
        split,
        detector,
        margin,
        border,
        manifest,
        identities,
        redetect,
        drop_leaks,
        strict,
        drop_duplicates,
        ScanOptions(processes or cores(), device, json),
    )
    sizes = {"train": train, "val": val, "test": test}
    return _show_stores(make_faces(dataset, options, sizes=sizes, quiet=json), json)


def data(
    what: Annotated[
        Literal["list", "show", "verify", "audit", "export"],
        argument(
            "WHAT",
            "list; show: write contact sheets; verify: hash the faces again; audit: verify, audit anew; export: write "
            "a set's faces as PNG files, for other programs",
        ),
    ] = "list",
    name: Annotated[str | None, argument("NAME", "a data set (default: all)", complete.data_sets)] = None,
    *,
    faces: Annotated[
        int | None,
        option("N", "faces on a contact sheet (default: 6), or the first to export (default: all)", rule=FACES),
    ] = None,
    lr: Annotated[Path | None, option("DIR", "export what networks are given into this folder")] = None,
    hr: Annotated[Path | None, option("DIR", "export the ground truth into this folder")] = None,
    split: Annotated[Split | None, typer.Option(help="that is exported (default: test)")] = None,
    scale: Annotated[
        int | None, option("N", "by which exported LR is smaller than HR (default: 8)", rule=within(2, 64))
    ] = None,
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.report import datasets as table

    if what == "export":
        return _export(name, lr, hr, split or "test", faces, scale, json)
    of_export = {"lr": lr, "hr": hr, "split": split, "scale": scale}
    if odd := [option for option, value in of_export.items() if value is not None]:
        raise UserError(f"--{odd[0]}: not together with {what}; expected with export")
    if what == "show":
        if (faces or 0) > MOST_SHOWN:
            raise UserError(f"--faces: {faces:,} given, expected 1 to {MOST_SHOWN:,} on a contact sheet")
        files = [table.write_contact(store, faces or 6) for store in table.stores_of(name)]
        show(json, {"written": list(map(str, files))}, lambda: written(files))
    elif what in ("verify", "audit"):
        verdicts, damaged = table.verify_all(name)
        if what == "verify":
            show(json, verdicts, lambda: "\n".join(f"{verdict['path']}: {verdict['verdict']}" for verdict in verdicts))
        else:
            from bench.report.audit import audit_page, keep_page
            from bench.runs.prepare import write_audit

            whole = dict.fromkeys(one["dataset"] for one in verdicts if one["dataset"] not in damaged)
            audits = [write_audit(dataset, fresh=True) for dataset in whole]
            for audit in audits:
                keep_page(audit)
            show(json, audits, lambda: "\n".join(map(audit_page, audits)))
        if damaged:
            raise UserError("; ".join(damaged.values()))
    else:
        rows = table.describe(name)
        show(json, rows, lambda: table.to_text(rows))
    return 0


def _export(
    name: str | None,
    lr: Path | None,
    hr: Path | None,
    split: str,
    faces: int | None,
    scale: int | None,
    json: bool,
) -> int:
    """Write the faces of a split for other programs, and say what to do with what these make of them."""
    from bench.data.store import open_split
    from bench.runs.export import export

    if name is None:
        raise UserError("data export: which data set? fsr data export NAME --lr DIR --hr DIR")
    exported = export(open_split(name, split), lr, hr, faces, scale)
    show(json, exported.to_json(), exported.to_text)
    return 0


def _show_stores(stores: Sequence[FaceStore], json: bool) -> int:
    """Print what was prepared and where its audit is."""
    prepared = [
        {
            "dataset": store.dataset,
            "split": store.split,
            "faces": len(store),
            "fingerprint": store.fingerprint,
            "path": str(store.path),
            "counts": dict(store.card.counts),
        }
        for store in stores
    ]
    audit = stores[0].path.parent / "audit.md"
    show(json, prepared, lambda: "\n".join([*map(_store_line, prepared), f"audit: {audit}"]))
    return 0


def _store_line(store: dict[str, Any]) -> str:
    counts = ", ".join(f"{name} {count}" for name, count in store["counts"].items() if isinstance(count, int) and count)
    return f"{store['path']}: {store['faces']} faces, fingerprint {store['fingerprint'][:12]}" + (
        f" ({counts})" if counts else ""
    )
