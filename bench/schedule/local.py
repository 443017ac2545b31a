"""Run after run on this machine: in this process, or in several that share the cores.

Small networks leave most of a machine idle: two runs with one thread each take a third less time than one after the
other with two threads. Each run has its own folder, so the processes share nothing but the list of what is to do.
"""

from __future__ import annotations

import functools
import logging
import multiprocessing
import os
import queue
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.process import BaseProcess
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from bench.core.machine import cores
from bench.core.progress import Bar
from bench.core.stop import Interrupted, Stop
from bench.models import registry
from bench.runs.complete import MakeBar, Outcome, complete_all
from bench.runs.records import RunState

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from bench.runs.experiment import Faces, RowRun

log = logging.getLogger("fsr")
_MOST = 8


def choose_jobs(wanted: int, runs: int, device: torch.device) -> int:
    """Return how many runs go on side by side: `wanted`, or for 0 one a core on a CPU and one on a GPU."""
    best = min(cores(), _MOST) if device.type == "cpu" else 1
    return max(1, min(wanted or best, runs))


def threads_each(jobs: int) -> int:
    """Return how many threads each of `jobs` runs gets, so that together they fill the cores."""
    import torch

    return max(1, torch.get_num_threads() // jobs)


def execute(
    row_runs: Sequence[RowRun], faces: Faces, device: torch.device, *, samples: int, jobs: int = 1, quiet: bool = False
) -> list[Outcome]:
    """Bring every run to its end, `jobs` side by side; one that fails does not stop the others.

    Runs that had too little memory, or whose process was killed, are tried again with half as many beside them.
    Raises Interrupted when asked to stop: the runs at work are saved, and calling again goes on from there.
    """
    if jobs == 1:
        ended = complete_all(
            range(len(row_runs)), row_runs, faces, device, samples, lambda _: lambda *what: Bar(*what, quiet=quiet)
        )
        return [outcome for _, outcome in sorted(ended, key=itemgetter(0))]
    outcomes = _Crew(row_runs, faces, device, samples, jobs, quiet).execute()
    starved = [index for index, outcome in enumerate(outcomes) if outcome.out_of_memory]
    if starved:
        fewer = jobs // 2
        log.warning("%d of %d runs had too little memory: again, %d side by side", len(starved), len(row_runs), fewer)
        again = [row_runs[index] for index in starved]
        for index, outcome in zip(
            starved, execute(again, faces, device, samples=samples, jobs=fewer, quiet=quiet), strict=True
        ):
            outcomes[index] = outcome
    return outcomes


class _Crew:
    """Worker processes that take runs from one queue and report to another."""

    def __init__(
        self, row_runs: Sequence[RowRun], faces: Faces, device: torch.device, samples: int, jobs: int, quiet: bool
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.row_runs, self.quiet = row_runs, quiet
        self.said: Any = context.Queue()
        self.waiting: Any = context.Queue()  # held here: its semaphore goes when it does
        for index in [*range(len(row_runs)), *[None] * jobs]:
            self.waiting.put(index)
        task = (list(row_runs), faces, str(device), samples, threads_each(jobs), registry.plugins())
        self.workers: list[BaseProcess] = [
            context.Process(target=_work, args=(*task, self.waiting, self.said), daemon=True) for _ in range(jobs)
        ]
        self.outcomes: dict[int, Outcome] = {}
        self.bars: dict[int, Bar] = {}

    def execute(self) -> list[Outcome]:
        with Stop() as stop:
            for worker in self.workers:
                worker.start()
            while any(worker.is_alive() for worker in self.workers):
                self._listen(0.2)
                if stop.asked:
                    self._stop_all()
                    break
            while self._listen(0.2):
                pass
            stop.check("every run at work is saved")
        return [self.outcomes.get(i) or self._lost(row_run) for i, row_run in enumerate(self.row_runs)]

    def _listen(self, seconds: float) -> bool:
        """Take one message of a worker, if there is one."""
        try:
            index, what, value = self.said.get(timeout=seconds)
        except queue.Empty:
            return False
        if what == "open":
            self.bars[index] = Bar(*value, quiet=self.quiet)
        elif what == "close":
            self.bars.pop(index).__exit__(None, None, None)
        elif what == "step":
            self.bars[index].show(**value[1])
            self.bars[index].update(value[0])
        elif what == "outcome":
            self.outcomes[index] = value
        elif what == "error":
            raise value
        return True

    def _stop_all(self) -> None:
        """Ask every worker to save its run and end, and wait for it."""
        for worker in self.workers:
            if worker.is_alive() and worker.pid is not None:
                os.kill(worker.pid, signal.SIGTERM)
        for worker in self.workers:
            worker.join()

    def _lost(self, row_run: RowRun) -> Outcome:
        """Return how a run ended whose process is gone without a word: killed, most often for its memory."""
        error = "its process was killed; run again to go on from its last state"
        return Outcome(row_run.run.config.name, RunState.FAILED, error, out_of_memory=True)


class _FarBar:
    """A bar whose picture is in another process."""

    def __init__(self, said: Any, index: int, title: str, total: int) -> None:
        self._said, self._index = said, index
        self._title, self._total = title, total
        self._figures: dict[str, float] = {}

    def _say(self, what: str, value: Any = None) -> None:
        self._said.put((self._index, what, value))

    def update(self, done: int) -> None:
        self._say("step", (done, self._figures))

    def show(self, **figures: float) -> None:
        self._figures = {**self._figures, **figures}

    def __enter__(self) -> _FarBar:
        self._say("open", (self._title, self._total))
        return self

    def __exit__(self, *_: object) -> None:
        self._say("close")


def _work(
    row_runs: list[RowRun],
    faces: Faces,
    device: str,
    samples: int,
    threads: int,
    plugins: tuple[Path, ...],
    waiting: Any,
    said: Any,
) -> None:
    """Take runs and bring them to their end until there are no more (the body of a worker process)."""
    import torch

    # A Ctrl-C reaches every process of the terminal; the crew's head passes it on as SIGTERM when it is due.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    for plugin in plugins:
        registry.add_plugin(plugin)
    at = -1

    def taken() -> Iterator[int]:
        nonlocal at
        while (index := waiting.get()) is not None:
            at = index
            yield index

    def bar_of(index: int) -> MakeBar:
        return functools.partial(_FarBar, said, index)

    try:
        for index, outcome in complete_all(taken(), row_runs, faces, torch.device(device), samples, bar_of):
            said.put((index, "outcome", outcome))
    except Interrupted:
        return
    except Exception as error:
        said.put((at, "error", error))
