"""A control is as large as what it is held against, by what it says it is matched by."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bench.core.errors import UserError
from bench.models import registry
from bench.models.capacity import match_width, method_size
from bench.models.cost import count_method
from bench.models.spec import Size
from bench.runs.experiment import Row
from bench.runs.job import load_job, resolve_row


@pytest.mark.parametrize("by", ["parameters", "multiply-adds"])
def test_the_nearest_width_is_found(by: Size) -> None:
    """Sizes are steps of the width, for channels are multiples of four: the width is on the step that is nearest."""
    options = registry.options("sparnet", {"width": 0.5})

    def size_at(width: float) -> int:
        return method_size("sparnet", {**options, "width": width}, by)

    steps = sorted({size_at(hundredths / 100) for hundredths in range(20, 41)})
    assert len(steps) > 5
    for low, high in [*pairwise(steps)][::3]:
        quarter = (high - low) // 4
        for size, nearest in ((low, low), (low + quarter, low), (high - quarter, high), (high, high)):
            assert size_at(match_width("sparnet", options, size, by)) == nearest


def test_what_cannot_be_matched_says_so() -> None:
    options = registry.options("sparnet", {"width": 0.5})
    with pytest.raises(UserError, match="no width up to 8 gives 1,000,000,000,000,000 multiply-adds"):
        match_width("sparnet", options, 10**15, "multiply-adds")
    with pytest.raises(UserError, match="'bicubic' has no option 'width'"):
        match_width("bicubic", registry.options("bicubic"), 1000)
    with pytest.raises(UserError, match="match_by: multiply-adds of what"):
        Row("sparnet", match_by="multiply-adds")


def test_photographs_have_a_control_of_each_size() -> None:
    job = load_job("photos", "cpu", "celeba")
    resolved = {row.title: (row.method, resolve_row(job.experiment, job.profile, row)) for row in job.experiment.rows}
    sizes = {title: count_method(*network) for title, network in resolved.items() if "width" in network[1]}
    (parameters, work), by_parameters, by_work = (sizes[name] for name in ("Model 8", "SPARNet-wide", "SPARNet-wider"))
    assert by_parameters[0] == pytest.approx(parameters, rel=0.05)
    assert by_work[1].published == pytest.approx(work.published, rel=0.06)
    assert by_parameters[1].published < 0.9 * work.published, "as many parameters do less here: one control is no match"
