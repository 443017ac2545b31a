"""Map a function over a stream in several processes or threads: in order, few items in flight, so memory stays flat.

By concurrent.futures and not by joblib, whose workers outlive a killed parent and whose generator reads on while nobody
takes its results.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.util
import os
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from bench.core import paths
from bench.core.errors import UserError
from bench.core.machine import cores

_T = TypeVar("_T")
_R = TypeVar("_R")
_AHEAD = 3  # items in flight for each process


def forked_map(function: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
    """Return function(item) of each by processes that share what is imported, on all cores, or in this one process."""
    jobs = min(cores(), len(items))
    if jobs < 2 or "fork" not in multiprocessing.get_all_start_methods():
        return list(map(function, items))
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        return pool.map(function, items, chunksize=max(1, min(8, len(items) // (4 * jobs))))


def ordered_map(
    function: Callable[[_T], _R],
    items: Iterable[_T],
    *,
    jobs: int,
    preload: Sequence[str] = (),
    threads: bool = False,
) -> Iterator[_R]:
    """Yield function(item) for each item in turn, computed by `jobs` processes (1: in this one) or threads.

    `preload` names modules that are slow to import and large: where the platform can, they are imported once, and the
    processes share them. Raises what the function raises, and UserError when a process is killed.
    """
    if jobs == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(jobs) if threads else _processes(jobs, preload) as pool:
        waiting: deque[Future[_R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= jobs * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise UserError("a worker process was killed (out of memory?); run again with fewer --jobs") from None
        finally:
            pool.shutdown(cancel_futures=True)


def place_sockets() -> None:
    """Let multiprocessing lay its sockets where their paths are not too long; raise UserError where there is none."""
    with contextlib.ExitStack() as stack:
        stack.callback(setattr, tempfile, "tempdir", tempfile.tempdir)
        tempfile.tempdir = str(paths.socket_folder(len("/pymp-xxxxxxxx/listener-xxxxxxxx")))
        multiprocessing.util.get_temp_dir()  # made once, and kept


def _processes(jobs: int, preload: Sequence[str]) -> Executor:
    place_sockets()
    context: Any = multiprocessing.get_context("spawn")
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(preload))
    return ProcessPoolExecutor(jobs, context, initializer=_begin)


def _begin() -> None:
    """Leave Ctrl-C to the parent, and end when it ends, however it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
