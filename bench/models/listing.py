"""What `fsr methods` shows: every method found, with its measured size, and those that can't be loaded."""

from __future__ import annotations

from typing import Any

from bench.core.errors import UserError, reason
from bench.models import registry

HR_SIZE = 128


def describe_methods() -> list[dict[str, Any]]:
    """Return one plain record a method, sorted by id, then one a source that could not be read.

    Parameters and multiply-adds are measured at full width for one 128x128 output image. `error` is None or one line.
    """
    found = registry.catalogue()
    records = [_describe(found.specs[name]) for name in sorted(found.specs)]
    return records + [{"id": source, "title": "", "error": error} for source, error in sorted(found.broken.items())]


def methods_text(records: list[dict[str, Any]]) -> str:
    """Return the records as a table for a terminal."""
    head = f"{'id':<14} {'title':<26} {'year':>4} {'parameters':>11} {'mult-adds':>10}  {'scales':<12} needs"
    lines = [head, "-" * (len(head) + 6)]
    for one in records:
        if one["error"]:
            lines.append(f"{one['id']:<14} {one['title']:<26} {one['error']}")
            continue
        scales = ",".join(f"x{scale}" for scale in one["scales"])
        lines.append(
            f"{one['id']:<14} {one['title']:<26} {one['year']:>4} {one['parameters']:>11,} "
            f"{one['multiply_adds'] / 1e9:>8.3f} G  {scales:<12} {', '.join(one['needs']) or '-'}"
        )
    return "\n".join(lines)


def _describe(spec: registry.MethodSpec) -> dict[str, Any]:
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
        "scales": list(spec.scales),
        "trainable": spec.trainable,
        "source": spec.source,
        "parameters": None,
        "multiply_adds": None,
        "multiply_adds_executed": None,
        "error": None,
    }
    try:
        return record | _measure(spec)
    except UserError as error:
        return record | {"error": str(error)}
    except Exception as error:
        return record | {"error": f"cannot be built: {reason(error)}"}


def _measure(spec: registry.MethodSpec) -> dict[str, int]:
    import torch

    from bench.models.cost import count_multiply_adds, count_parameters

    scale = 8 if 8 in spec.scales else spec.scales[0]
    model = registry.build(spec.id, {"scale": scale})
    size = HR_SIZE // scale
    count = count_multiply_adds(model, torch.rand(1, 3, size, size))
    return {
        "parameters": count_parameters(model),
        "multiply_adds": count.published,
        "multiply_adds_executed": count.executed,
    }
