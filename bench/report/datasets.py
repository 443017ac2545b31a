"""`fsr data`: what is prepared, from what, and whether it is still what it was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.core import paths
from bench.core.errors import UserError, suggest
from bench.core.files import read_json, write_bytes
from bench.core.text_table import text_table
from bench.data.cards import default_dataset, published_audit
from bench.data.store import FaceStore, prepared_datasets, prepared_splits
from bench.report.contact import draw_contact
from bench.report.faces import picture_bytes
from bench.report.table import DASH


def splits_of(name: str | None) -> list[Path]:
    """Return the folders of the splits of a data set, or of all; raise UserError when there is none."""
    known = prepared_datasets()
    if name is not None and name not in known:
        raise UserError(f"no data set '{name}' in {paths.prepared()}: {suggest(name, known)}")
    if not known:
        raise UserError(
            f"nothing is prepared in {paths.prepared()}: `fsr prepare {default_dataset()}` makes the default faces"
        )
    return prepared_splits(name)


def stores_of(name: str | None) -> list[FaceStore]:
    """Return the stores of a data set, or of all; raise UserError when there is none."""
    return [FaceStore.open(path) for path in splits_of(name)]


def describe(name: str | None) -> list[dict[str, Any]]:
    """Return name, split, faces, size, fingerprint, when and from what of prepared sets; None of a damaged one."""
    if name is None and not prepared_datasets():
        return []
    return [_described(path) for path in splits_of(name)]


def _described(path: Path) -> dict[str, Any]:
    dataset, split = path.parts[-2:]
    row: dict[str, Any] = {"dataset": dataset, "split": split, "faces": None, "size": None, "fingerprint": None}
    row |= {"prepared": _when(path / "card.json"), "from": None, "path": str(path)}
    try:
        store = FaceStore.open(path)
    except UserError:
        return row
    return row | {"faces": len(store), "size": store.size, "fingerprint": store.fingerprint, "from": _from(store)}


def to_text(rows: Sequence[dict[str, Any]]) -> str:
    """Return the list as a table for people."""
    if not rows:
        return f"nothing is prepared in {paths.prepared()}; `fsr prepare --help` tells how"
    head = ["Data set", "Split", "Faces", "Size", "Fingerprint", "Prepared", "From"]
    body = [
        [
            row["dataset"],
            row["split"],
            *(
                (DASH, DASH, DASH, row["prepared"], f"damaged: `fsr data verify {row['dataset']}` tells how")
                if row["faces"] is None
                else (
                    f"{row['faces']:,}",
                    f"{row['size']}x{row['size']}",
                    row["fingerprint"][:12],
                    row["prepared"],
                    row["from"],
                )
            ),
        ]
        for row in rows
    ]
    return text_table(head, body)


def verify(store: FaceStore) -> dict[str, Any]:
    """Hash a store's faces again and compare them with the audit that comes with its card.

    Raises UserError when the faces are no longer those of the store.
    """
    store.verify()
    path = published_audit(store.dataset)
    published = read_json(path)["splits"].get(store.split) if path else None
    verdict = f"{len(store):,} faces, fingerprint {store.fingerprint[:12]}: whole"
    if published is not None:
        same = published["fingerprint"] == store.fingerprint
        verdict += (
            "; the faces of the published audit"
            if same
            else f"; not the faces of the published audit ({published['faces']:,}, {published['fingerprint'][:12]}): "
            "other photos or another recipe"
        )
    return {
        "dataset": store.dataset,
        "split": store.split,
        "fingerprint": store.fingerprint,
        "published": published["fingerprint"] if published else None,
        "path": str(store.path),
        "verdict": verdict,
    }


def verify_all(name: str | None) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Verify the splits of a data set, or of all; return what is said of the whole ones, and what of damaged sets."""
    verdicts, damaged = [], {}
    for path in splits_of(name):
        try:
            verdicts.append(verify(FaceStore.open(path)))
        except UserError as error:
            damaged[path.parent.name] = str(error)
    return verdicts, damaged


def write_contact(store: FaceStore, faces: int) -> Path:
    """Write a contact sheet beside the store and return its path."""

    path = store.path.with_name(f"{store.split}-contact.png")
    write_bytes(path, picture_bytes(draw_contact(store, faces)))
    return path


def _when(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime).astimezone().strftime("%Y-%m-%d %H:%M")


def _from(store: FaceStore) -> str:
    recipe = store.card.recipe
    if "generator" in recipe:
        return str(recipe["generator"])
    names = ", ".join(Path(source).name for source in store.card.sources)
    return f"{names} ({recipe.get('detector')}, margin {recipe.get('margin')}, {recipe.get('border')})"
