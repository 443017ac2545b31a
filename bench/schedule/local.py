"""Run after run on this machine: in this process, or in several that share the cores.

Small networks leave most of a machine idle: two runs with one thread each take a third less time than one after the
other with two threads. Each worker has a pipe of its own, so that one that is killed (for its memory, mostly) takes
nothing with it but the run it was at; a pool of a library would be broken as a whole.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import multiprocessing
import signal
from collections import deque
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from bench.core.machine import cores
from bench.core.progress import Bar
from bench.core.stop import Interrupted, Stop
from bench.models import registry
from bench.models.plugins import Plugin
from bench.runs.complete import Outcome
from bench.runs.records import RunState
from bench.schedule.bars import Bars, FarBar
from bench.schedule.parcel import Work, numbered

if TYPE_CHECKING:
    import torch

log = logging.getLogger("fsr")
_MOST = 8
_END_SECONDS = 5  # until the exit code of a process is known whose pipe has ended
_BAR_SECONDS = 0.2  # between two messages of a worker's bar


def choose_jobs(wanted: int, runs: int, device: torch.device) -> int:
    """Return how many runs go on side by side: `wanted`, or for 0 one a core on a CPU and one on a GPU."""
    best = min(cores(), _MOST) if device.type == "cpu" else 1
    return max(1, min(wanted or best, runs))


def threads_each(jobs: int) -> int:
    """Return how many threads each of `jobs` runs gets, so that together they fill the cores."""
    import torch

    return max(1, torch.get_num_threads() // jobs)


def execute(work: Work, device: torch.device, *, jobs: int = 1, quiet: bool = False) -> list[Outcome]:
    """Bring every run to its end, `jobs` side by side; one that fails does not stop the others.

    Runs that had too little memory, or whose process was killed, are tried again with half as many beside them; runs
    that other commands are at work on are left for last and then waited for. Raises Interrupted when asked to stop: the
    runs at work are saved, and calling again goes on from there.
    """
    outcomes = (_Crew(work, str(device), quiet, jobs) if jobs > 1 else _Alone(work, str(device), quiet)).execute()
    starved = [index for index in sorted(outcomes) if outcomes[index].out_of_memory and jobs > 1]
    if starved:
        fewer, runs = jobs // 2, len(work.row_runs)
        log.warning("%d of %d runs had too little memory: again, %d side by side", len(starved), runs, fewer)
        again = dataclasses.replace(work, row_runs=tuple(work.row_runs[index] for index in starved))
        outcomes |= dict(zip(starved, execute(again, device, jobs=fewer, quiet=quiet), strict=True))
    return [outcomes[index] for index in range(len(work.row_runs))]


class _Alone:
    """Run after run in this process; those that other processes are at work on come last."""

    def __init__(self, work: Work, device: str, quiet: bool) -> None:
        self.work, self.device, self.quiet = work, device, quiet
        self.left = deque((index, False) for index in range(len(work.row_runs)))
        self.outcomes: dict[int, Outcome] = {}

    def execute(self) -> dict[int, Outcome]:
        """Bring all runs to their end."""
        while self.left:
            index, wait = self.take()
            bar = numbered(functools.partial(Bar, quiet=self.quiet), index, len(self.work.row_runs))
            self.note(index, self.work.do(index, self.device, wait, bar))
        return self.outcomes

    def take(self) -> tuple[int, bool]:
        """Return the next run and whether to wait for who is at work on it."""
        index, wait = self.left.popleft()
        if wait:
            log.info("%s: waiting for the process that is at work on it", self.work.name(index))
        return index, wait

    def note(self, index: int, outcome: Outcome) -> None:
        """Note how a run has ended."""
        if outcome.status is RunState.BUSY:
            self.left.append((index, True))
        else:
            self.outcomes[index] = outcome


class _Crew(_Alone):
    """Worker processes, each with its pipe, the run it is at and that run's bar."""

    def __init__(self, work: Work, device: str, quiet: bool, jobs: int) -> None:
        super().__init__(work, device, quiet)
        self.jobs, self.bars = jobs, Bars(quiet)
        self.at: dict[Any, int] = {}  # pipe -> run
        self.processes: dict[Any, BaseProcess] = {}

    def execute(self) -> dict[int, Outcome]:
        """Hand out runs until all have ended."""
        with Stop() as stop:
            for _ in range(self.jobs):
                self._start()
            try:
                while self.at and not stop.asked:
                    for pipe in connection.wait(list(self.at), timeout=0.2):
                        self._listen(pipe)
            finally:
                for process in self.processes.values():
                    process.terminate()  # SIGTERM: one that is at work saves its run and ends
                for process in self.processes.values():
                    process.join()
            stop.check("every run at work is saved")
        while self.left:  # every worker was killed
            self._lose(self.left.popleft()[0])
        return self.outcomes

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        pipe, far_end = context.Pipe()
        task = (self.work, self.device, far_end, threads_each(self.jobs), registry.plugins())
        process = context.Process(target=_serve, args=task, daemon=True)
        self.processes[pipe] = process
        process.start()
        far_end.close()  # so that the pipe ends when the process does
        self._hand_out(pipe)

    def _hand_out(self, pipe: Any) -> None:
        if self.left:
            index, wait = self.take()
            self.at[pipe] = index
            pipe.send((index, wait))
        else:
            self.at.pop(pipe, None)
            pipe.send(None)

    def _lose(self, index: int, code: int | None = -signal.SIGKILL) -> None:
        """Note a run whose process is gone without a word: killed, most often for its memory, or crashed."""
        killed = code in (None, -signal.SIGKILL, -signal.SIGBUS)
        how = "was killed" if killed or code is None else f"crashed ({_exit_name(code)})"
        error = f"its process {how}; run again to go on from its last state"
        self.note(index, Outcome(self.work.name(index), RunState.FAILED, error, out_of_memory=killed))

    def _listen(self, pipe: Any) -> None:
        """Take one message of a worker, or note that it is gone."""
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            self.bars.end(pipe)
            self.processes[pipe].join(_END_SECONDS)
            self._lose(self.at.pop(pipe), self.processes[pipe].exitcode)
            return
        if isinstance(message, Exception):
            raise message
        if isinstance(message, Outcome):
            self.bars.end(pipe)
            self.note(self.at[pipe], message)
            with contextlib.suppress(BrokenPipeError):  # it is gone; the next look tells
                self._hand_out(pipe)
        else:
            self.bars.show(pipe, message)


def _exit_name(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _serve(work: Work, device: str, pipe: Any, threads: int, plugins: tuple[Plugin, ...]) -> None:
    """Take runs and bring them to their end until there are no more (the body of a worker process)."""
    import torch

    # A Ctrl-C reaches every process of the terminal; the crew passes it on as SIGTERM when it is due.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    for plugin in plugins:
        registry.add_plugin(plugin)
    try:
        while (task := pipe.recv()) is not None:
            index, wait = task
            bar = numbered(functools.partial(FarBar, pipe.send, _BAR_SECONDS), index, len(work.row_runs))
            pipe.send(work.do(index, device, wait, bar))
    except (Interrupted, EOFError, BrokenPipeError):  # asked to stop, or the command is gone
        return
    except Exception as error:
        pipe.send(error)
