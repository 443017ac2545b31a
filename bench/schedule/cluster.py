"""Ray itself: started on this machine or reached elsewhere, kept quiet, and asked for what it has.

Facts about Ray that shape this file: a request that the cluster can never meet waits forever, so it is refused here; a
cluster that is not there is tried for minutes, so it is knocked at first; its own handler of SIGTERM would end us at
once; whatever it prints goes to standard output, which is for results.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench
import methods
from bench.core import paths
from bench.core.errors import UserError, reason
from bench.core.machine import cores

log = logging.getLogger("fsr")
INSTALL = "ray is not installed: pip install 'fsr-bench[ray]'"
_SETTINGS = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # run folders have the curves
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to anybody
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # ours ends it, see Stop
}
_RAY_ROOM = len("/ray/session_2026-01-01_00-00-00_000000_0000000/sockets/plasma_store")  # in a socket's path
_FOR_WORKERS = (
    "FSR_CACHE",
    "FSR_CHECKPOINT_SECONDS",
    "FSR_TIMING_SECONDS",
    "RAY_CHDIR_TO_TRIAL_DIR",
    "CUBLAS_WORKSPACE_CONFIG",
)


@dataclass(frozen=True)
class Share:
    """What a run gets: `gpus` may be a fraction, for runs that share one; `cpus` are its threads on a CPU."""

    gpus: float = 0.0
    cpus: int = 1

    @property
    def device(self) -> str:
        """Where a run trains; Ray shows a worker its own GPUs alone."""
        return "cuda:0" if self.gpus else "cpu"


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """Give Ray, connected to a cluster or started here; what was started here ends with the context.

    Raises UserError when Ray is missing or cannot be reached.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise UserError(INSTALL) from None
    _knock(address)
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False, "runtime_env": _environment(address)}
    # "local": else Ray would join whatever cluster runs on this machine.
    options |= (
        {"address": address} if address else {"address": "local", "num_cpus": cores(), "include_dashboard": False}
    )
    if not address and "RAY_TMPDIR" not in os.environ:
        options["_temp_dir"] = str(paths.socket_folder(_RAY_ROOM) / "ray")
    before = signal.getsignal(signal.SIGTERM)
    try:
        context = ray.init(**options)
    except Exception as error:
        if address:
            way = "see `ray status` there, and give the HOST:PORT that `ray start --head` has printed"
            raise UserError(f"--address {address}: Ray cannot be reached ({reason(error)}); {way}") from None
        way = "set RAY_TMPDIR to a folder of your own with a short path and room, or leave --executor ray out"
        raise UserError(f"--executor ray: Ray does not start here ({reason(error)}); {way}") from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)
    if url := getattr(context, "dashboard_url", ""):
        log.info("Ray's dashboard: http://%s", url)
    with _quietly():  # to the end: Ray tells of a node's death whenever it learns of it
        try:
            yield ray
        finally:
            ray.shutdown()


def check_share(ray: Any, share: Share) -> None:
    """Raise UserError for a share that no node has: Ray would wait for it forever."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(node.get("GPU", 0) >= share.gpus and node.get("CPU", 0) >= share.cpus for node in nodes):
        return
    available = "; ".join(f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in nodes)
    asked = f"--gpus-per-run {share.gpus:g}, {share.cpus} CPU{'s' if share.cpus > 1 else ''} a run"
    raise UserError(f"{asked}: no node has that; the cluster has {len(nodes)}: {available}")


def _knock(address: str) -> None:
    """Raise UserError when nobody answers at HOST:PORT."""
    host, colon, port = address.rpartition(":")
    if not colon or "//" in address:
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise UserError(
            f"--address {address}: no Ray cluster there ({error}); start one by `ray start --head`"
        ) from None


def _environment(address: str) -> dict[str, Any]:
    """Return what Ray sets up for workers: our settings and, away from this machine, our code."""
    environment: dict[str, Any] = {"env_vars": {name: os.environ[name] for name in _FOR_WORKERS if name in os.environ}}
    if address:
        environment["py_modules"] = [str(Path(str(module.__file__)).parent) for module in (bench, methods)]
    return environment


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Send what is printed, from whatever thread and library, to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
