"""Prepare faces, with the page of their audit beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.data.store import FaceStore


def prepare(dataset: str, *given: Any, **more: Any) -> list[FaceStore]:
    """Prepare a data set as `bench.runs.prepare.prepare` does, and write audit.md."""
    from bench.report.audit import keep_page
    from bench.runs import prepare as preparing
    from bench.runs.audit import audit

    stores = preparing.prepare(dataset, *given, **more)
    keep_page(audit(stores[0].dataset))
    return stores
