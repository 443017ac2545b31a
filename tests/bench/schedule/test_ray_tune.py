"""Ray Tune as executor: the same bytes as without it, on one machine and on a cluster that loses a node."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.core.errors import UserError
from bench.data.store import FaceStore
from bench.runs.experiment import Faces, Sizes
from bench.schedule.cluster import Share, check_share, connected
from bench.schedule.executor import ExecutionOptions
from bench.schedule.parcel import send_faces
from tests.bench.schedule.small import NAME, finish, leftovers, make, outcome, start, wait_for_state


def test_the_same_bytes_as_without_ray(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    root = make(tmp_path)
    said = finish(root, "--executor", "ray", "--jobs", "2")
    assert "Traceback" not in said
    assert outcome(root) == undisturbed
    assert leftovers(root) == []


def test_a_cluster_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(UserError, match="no Ray cluster there"), connected("127.0.0.1:1"):
        pass


@pytest.mark.parametrize("share", [1.5, 0.0, -1.0])
def test_shares_of_a_gpu_are_parts_of_one_or_whole(share: float) -> None:
    with pytest.raises(UserError, match="expected a part of one"):
        ExecutionOptions("ray", gpus_per_run=share)
    with pytest.raises(UserError, match="add --executor ray"):
        ExecutionOptions(gpus_per_run=0.5)


def test_a_share_that_no_node_has_is_refused() -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": False, "Resources": {"CPU": 8.0, "GPU": 1.0}}]
    cluster = SimpleNamespace(nodes=lambda: nodes)
    check_share(cluster, Share(0, 2))
    for share in (Share(0.5, 1), Share(0, 4)):
        with pytest.raises(UserError, match="no node has that; the cluster has 1: 2 CPUs, 0 GPUs"):
            check_share(cluster, share)


@pytest.mark.slow
def test_faces_reach_a_node_that_does_not_have_them(tmp_path: Path) -> None:
    prepared = make(tmp_path) / "datasets" / "prepared" / "mine"
    train, val, test = (FaceStore.open(prepared / split) for split in ("train", "val", "test"))
    pixels = [np.array(store.faces) for store in (train, val, test)]
    with connected("") as ray:
        several = SimpleNamespace(nodes=lambda: [{"Alive": True}] * 2, put=ray.put)
        reference = ray.put(send_faces(Faces(train, val, test, Sizes(6, 2, 3)), several))
        prepared.rename(prepared.with_name("away"))
        faces = ray.get(
            ray.remote(lambda faces: [faces.train.faces, faces.val.faces, faces.test.faces]).remote(reference)
        )
    assert all(np.array_equal(sent, own) for sent, own in zip(faces, pixels, strict=True))


FULL = """
import errno
from torch import nn
from bench import register

@register("full", title="Full", year=2024)
class Full(nn.Module):
    def __init__(self, scale: int = 8) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 3, 1)

    def forward(self, lr):
        if self.training:
            raise OSError(errno.ENOSPC, "No space left on device", "/mnt/full/state.pt")
        return self.body(lr).repeat_interleave(8, 2).repeat_interleave(8, 3)
"""


@pytest.mark.slow
def test_what_a_worker_s_disk_refuses_is_told(tmp_path: Path) -> None:
    root = make(tmp_path)
    (root / "full.py").write_text(FULL)
    arguments = ["--executor", "ray", "--jobs", "1", "--plugin", "full.py", "--add", "full", "--only", "full"]
    said = finish(root, *arguments, "--set", "seeds=[0]", code=1)
    assert "/mnt/full/state.pt: No space left on device; run again to go on from its last state" in said


@contextlib.contextmanager
def new_cluster() -> Iterator[Any]:
    """Start a head without cores and two workers with one each, all processes of their own on this machine."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    cluster.workers = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


@pytest.fixture
def cluster() -> Iterator[Any]:
    with new_cluster() as cluster:
        yield cluster


@pytest.mark.slow
def test_a_node_killed_in_mid_run_costs_nothing(tmp_path: Path, undisturbed: dict[str, bytes], cluster: Any) -> None:
    root = make(tmp_path)
    process = start(root, "--executor", "ray", "--address", cluster.address, "--jobs", "2", "--json")
    wait_for_state(process, (root / "results" / NAME))
    cluster.remove_node(cluster.workers[0], allow_graceful=False)  # SIGKILL to all of its processes
    out, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert [run["status"] for run in json.loads(out)["runs"]] == ["finished"] * 5
    assert outcome(root) == undisturbed
    assert leftovers(root) == []


@pytest.mark.slow
def test_the_same_command_goes_on_with_a_new_head(
    tmp_path: Path, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "5")  # after which the command gives the head up
    root = make(tmp_path)
    with new_cluster() as cluster:
        process = start(root, "--executor", "ray", "--address", cluster.address, "--jobs", "2")
        wait_for_state(process, (root / "results" / NAME))
        for started in itertools.chain.from_iterable(cluster.head_node.all_processes.values()):
            started.process.kill()
        _, said = process.communicate(timeout=120)
        assert process.returncode, said
        assert "GCS may have been killed" in said
    before = {path: path.stat().st_mtime_ns for path in (root / "results" / NAME).glob("*/weights.safetensors")}
    assert len(before) < 4, "killed in mid-run"
    with new_cluster() as cluster:
        finish(root, "--executor", "ray", "--address", cluster.address, "--jobs", "2")
    assert outcome(root) == undisturbed
    assert leftovers(root) == []
    assert all(path.stat().st_mtime_ns == at for path, at in before.items()), "nothing is trained twice"


@pytest.mark.slow
def test_runs_kept_in_storage_need_no_shared_folder(
    tmp_path: Path, undisturbed: dict[str, bytes], cluster: Any
) -> None:
    root, url = make(tmp_path / "root"), f"file://{tmp_path}/storage"
    arguments = ("--executor", "ray", "--address", cluster.address, "--storage", url)
    process = start(root, *arguments, "--jobs", "2")
    wait_for_state(process, (tmp_path / "storage" / NAME))
    assert not list((root / "results" / NAME).glob("*/state.pt")), "workers use no folder but their own"
    cluster.remove_node(cluster.workers[0], allow_graceful=False)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert outcome(root) == undisturbed
    assert leftovers(root) == [] == [str(path) for path in (tmp_path / "storage" / NAME).rglob("state*")]
    other = make(tmp_path / "other")  # another machine, with nothing but the storage
    process = start(other, *arguments, "--json")
    out, _ = process.communicate(timeout=120)
    assert {run["status"] for run in json.loads(out)["runs"]} == {"cached"}
    assert outcome(other) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("url", ["nonsense://bucket", "file:///proc/fsr"])
def test_storage_that_cannot_be_written_is_refused(tmp_path: Path, url: str) -> None:
    root = make(tmp_path)
    last = finish(root, "--executor", "ray", "--storage", url, code=2).strip().splitlines()[-1]
    assert last.startswith(f"fsr: --storage {url}: ")
