"""Several runs on one device: what is measured, what is chosen, and runs that lack memory with others beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bench.core.errors import UserError
from bench.schedule.packing import Packed, choose, measure, packing_text
from tests.bench.conftest import smooth_faces
from tests.bench.runs.train_child import make_run
from tests.bench.schedule.small import finish, make, outcome, start

GREEDY = '''
import os
import time
from pathlib import Path

import torch

from bench import register
from tests.tiny_method import Tiny


@register("greedy", title="Greedy", year=2024)
class Greedy(Tiny):
    """Runs out of memory when another of its kind is at work."""

    def forward(self, lr):
        if self.training:
            mine = Path(os.environ["FSR_ROOT"]) / f"at-work-{os.getpid()}"
            mine.touch()
            time.sleep(0.05)
            known = [path.name.removeprefix("at-work-") for path in mine.parent.glob("at-work-*")]
            if sum(Path("/proc", number).exists() for number in known) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().forward(lr)
'''


def test_runs_side_by_side_are_measured(tiny: None, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    one, two = (measure(run.config, smooth_faces(6, 0), torch.device("cpu"), count, 1.0) for count in (1, 2))
    assert (one.error, two.error) == ("", "")
    assert one.iterations_per_second > 5
    assert two.memory > 1.5 * one.memory > 0


def test_what_cannot_go_on_says_why(tiny: None, tmp_path: Path) -> None:
    run = make_run(tmp_path, explode=True)
    found = measure(run.config, smooth_faces(6, 0), torch.device("cpu"), 2, 1.0)
    assert found.iterations_per_second == 0 and "NaN or infinite" in found.error


@pytest.mark.parametrize(
    ("rates", "memory", "best"),
    [
        ((10, 19, 35, 36), 100, 4),  # eight bring hardly more than four
        ((10, 19, 35, 60), 100, 8),
        ((10, 19, 35, 60), 250, 4),  # eight do not fit
        ((10, 9, 8, 7), 100, 1),
    ],
)
def test_the_best_that_fits_is_chosen(rates: tuple[float, ...], memory: float, best: int) -> None:
    tried = [Packed(count, rate, count * memory) for count, rate in zip((1, 2, 4, 8), rates, strict=True)]
    assert choose(tried, 1200) == best
    assert packing_text(tried, best).count("<- chosen") == 1


def test_one_that_fails_ends_the_search() -> None:
    assert choose([Packed(1, 10, 100), Packed(2, 0, 0, "out of memory"), Packed(4, 99, 100)], 1000) == 1
    with pytest.raises(UserError, match="a single run does not go on"):
        choose([Packed(1, 0, 0, "out of memory")], 1000)


def test_runs_without_memory_beside_others_are_tried_again_alone(tmp_path: Path) -> None:
    root = make(tmp_path)
    (root / "greedy.py").write_text(GREEDY)
    small = (root / "small.toml").read_text()
    (root / "small.toml").write_text(
        small.replace('method = "tiny"', 'method = "greedy"').replace('= "tiny"', '= "greedy"')
    )
    process = start(root, "--plugin", "greedy.py", "--jobs", "2", "--json")
    out, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "had too little memory: again, 1 side by side" in said
    assert {run["status"] for run in json.loads(out)["runs"]} == {"finished"}
    assert len(outcome(root)) == 13
    assert "failed" not in finish(root, "--plugin", "greedy.py", "--jobs", "2")
