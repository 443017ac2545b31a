"""What `fsr methods` shows: every method, with its measured size, and those that can't be loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.core.errors import UserError, reason
from bench.core.parallel import forked_map
from bench.core.stop import contained
from bench.core.text_table import text_table
from bench.models import registry
from bench.models.cost import HR_SIZE, count_method
from bench.models.spec import MethodSpec

_OF_WHAT = (
    f"numbers: full width, {HR_SIZE // 8}x{HR_SIZE // 8} to {HR_SIZE}x{HR_SIZE} (without x8: by the first scale); "
    "published: as the authors state it or their code has it, tensors that nothing reads included"
)
_HEAD = ("id", "title", "year", "parameters", "published", "mult-adds (G)", "scales", "needs")


def describe_methods() -> list[dict[str, Any]]:
    """Return one plain record a method, sorted by id, then one a source that could not be read.

    Parameters and multiply-adds are counted at full width for one 128x128 output image. `error` is None or one line.
    """
    known = registry.catalogue()
    names = sorted(known.specs)
    broken = [{"id": source, "title": "", "error": error} for source, error in sorted(known.broken.items())]
    return forked_map(_describe, names) + broken


def methods_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the records as a table for a terminal, below it what its numbers are of, and what is broken."""
    rows = [_row(record) for record in records if not record["error"]]
    table = text_table(_HEAD, rows, align="llrrrrl")
    return "\n".join(
        [table, _OF_WHAT, *(f"{record['id']}: {record['error']}" for record in records if record["error"])]
    )


def _row(record: Mapping[str, Any]) -> list[str]:
    published = f"{record['published_parameters']:,}" if record["published_parameters"] else "-"
    size = [f"{record['parameters']:,}", published, f"{record['multiply_adds'] / 1e9:.3f}"]
    needs = [*record["needs"], *([record["teacher"]] if record["teacher"] else [])]
    scales = ", ".join(f"x{scale}" for scale in record["scales"])
    return [record["id"], record["title"], str(record["year"]), *size, scales, ", ".join(needs) or "-"]


def _describe(name: str) -> dict[str, Any]:
    spec = registry.get(name)
    record = {
        "id": spec.id,
        "title": spec.title,
        "year": spec.year,
        "paper": spec.paper,
        "venue": spec.venue,
        "licence": spec.licence,
        "published_parameters": spec.published_parameters,
        "tags": list(spec.tags),
        "needs": list(spec.needs),
        "teacher": spec.teacher,
        "scales": list(spec.scales),
        "trainable": spec.trainable,
        "source": spec.source,
        "parameters": None,
        "multiply_adds": None,
        "multiply_adds_executed": None,
        "error": None,
    }
    try:
        with contained():
            return record | _count(spec)
    except UserError as error:
        return record | {"error": str(error)}
    except Exception as error:
        return record | {"error": f"cannot be built: {reason(error)}"}


def _count(spec: MethodSpec) -> dict[str, int]:
    parameters, count = count_method(spec.id, {"scale": spec.usual_scale})
    return {
        "parameters": parameters,
        "multiply_adds": count.published,
        "multiply_adds_executed": count.executed,
    }
