"""`fsr prepare`: from a data set's name to its face stores and their audit."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from bench.core import paths
from bench.core.errors import UserError, suggest
from bench.core.files import json_bytes, keep, write_bytes
from bench.data.cards import ANY_FOLDER, card_names, is_generated
from bench.data.generated import prepare_generated
from bench.data.photoset import PhotoOptions, prepare_photos
from bench.data.store import FaceStore, alone, write_store
from bench.runs import audit

log = logging.getLogger("fsr")


def prepare(
    dataset: str,
    wanted: PhotoOptions | None = None,
    *,
    sizes: Mapping[str, int | None] | None = None,
    quiet: bool = False,
) -> list[FaceStore]:
    """Prepare a data set and audit it (audit.json): photographs need `wanted`, generated faces take `sizes`.

    Returns its stores; raises UserError for an unknown name and for arguments that the set has no use for.
    """
    given = {split: size for split, size in (sizes or {}).items() if size is not None}
    if is_generated(dataset):
        _check_unused(dataset, wanted or PhotoOptions(()))
        stores = prepare_generated(dataset, given, quiet=quiet)
    else:
        known = [*card_names(), ANY_FOLDER]
        if dataset not in known:
            raise UserError(
                f"unknown data set '{dataset}': {suggest(dataset, known)}; for photos of your own: "
                f"fsr prepare folder --name {dataset} --source DIR"
            )
        if given:
            raise UserError(f"--{next(iter(given))}: the size of {dataset} is that of its sources")
        if wanted is None or not wanted.sources:
            raise UserError(f"no source given: fsr prepare {dataset} --source FILE.tar or --source DIR")
        stores = prepare_photos(dataset, wanted)
        if wanted.drop_leaks or wanted.drop_duplicates:
            with alone(stores[0].path.parent):
                stores = [_without(_unwanted(store, wanted), store) for store in stores]
    write_audit(stores[0].dataset)
    return stores


def _check_unused(dataset: str, wanted: PhotoOptions) -> None:
    """Raise UserError for what was asked of photographs where there are none."""
    plain = PhotoOptions((), how=wanted.how)
    for field in dataclasses.fields(PhotoOptions):
        value = getattr(wanted, field.name)
        if value and value != getattr(plain, field.name):
            option = "source" if field.name == "sources" else field.name.replace("_", "-")
            raise UserError(f"--{option}: {dataset} is made from seeds and reads no photographs")


def write_audit(dataset: str, *, fresh: bool = False) -> dict[str, Any]:
    """Audit a data set (see bench.runs.audit), keep audit.json beside its faces, and return the audit."""
    made = audit.audit(dataset, fresh=fresh)
    path = paths.prepared() / dataset / "audit.json"
    keep(path, json_bytes(made))
    with contextlib.suppress(OSError):
        path.touch()  # newer than the sets that it is about
    return made


def _unwanted(store: FaceStore, wanted: PhotoOptions) -> dict[str, str]:
    """Return the faces of a store that are to be left out -> why."""
    names: dict[str, str] = {}
    if wanted.drop_duplicates:
        names |= dict.fromkeys(audit.duplicate_names(store), "a duplicate: the same as an earlier face")
    if wanted.drop_leaks:
        leaked = audit.leaked_names(store)
        names |= {name: f"a leak: the same as {other.rpartition('/')[0]}" for name, other in leaked.items()}
    return names


def _without(unwanted: Mapping[str, str], store: FaceStore) -> FaceStore:
    """Write a store again without the faces that are unwanted (name -> why), which its card says."""
    if not unwanted:
        return store
    log.info("%s: %d of %d faces left out: there twice or in another set", store.path, len(unwanted), len(store))
    if len(unwanted) == len(store):
        raise UserError(
            f"{store.path}: all of its faces ({len(store)}) are in other sets, so none is left; it stays whole: "
            "prepare it from other photos, or without --drop-leaks"
        )
    kept = [index for index, row in enumerate(store.rows) if row.name not in unwanted]
    places = {index: place for place, index in enumerate(kept)}
    names: dict[str, list[str]] = {}
    for row in store.rows:
        if row.name in unwanted:
            names.setdefault(unwanted[row.name], []).append(row.name)
    left_out = {why: {"count": len(files), "files": files} for why, files in names.items()}
    counts = {**store.card.counts, "faces": len(kept), "left out": {**store.card.counts["left out"], **left_out}}
    files = {name: (store.path / name).read_bytes() for name in ("manifest.csv", "inputs.json")}
    same = {name: getattr(store.card, name) for name in ("card", "kind", "recipe", "sources", "versions", "identities")}
    return write_store(
        store.path,
        [store.rows[index] for index in kept],
        ((places[index], face) for index, face in enumerate(store.read()) if index in places),
        same | {"counts": counts},
        size=store.size,
        extra={name: partial(write_bytes, content=content) for name, content in files.items()},
    )
