"""What is shipped: a wheel that works away from the repository, and a core that needs few packages."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# fmt: off
REFUSED = {
    "click", "cv2", "dlib", "facenet_pytorch", "joblib", "matplotlib", "openvino", "optuna", "pandas", "pydantic",
    "pyiqa", "ray", "rich", "scikit_posthocs", "scipy", "seaborn", "skimage", "sklearn", "statsmodels", "tabulate",
    "tensorboardX", "timm", "torchvision", "tqdm", "typer",
}
# fmt: on
TRAIN_AND_SCORE = f"""
import sys
sys.modules |= dict.fromkeys({REFUSED})  # None: importing it fails as if it were not installed

from pathlib import Path
import torch
from bench.core.progress import Bar
from bench.data.store import FaceRow, write_store
from bench.runs.complete import complete
from bench.runs.config import Training
from bench.runs.experiment import Faces, Row, RowRun, Sizes
from tests.bench.conftest import smooth_faces
from tests.bench.runs.train_child import make_run
store = write_store(Path("mine/train"), [FaceRow("a"), FaceRow("b")], enumerate(smooth_faces(2, 0)), {{}})
run = make_run(Path("results"), "sparnet", Training(iterations=1, batch=1), width=0.125)
row_run = RowRun(Row("sparnet"), "SPARNet", run, ("psnr", "ssim", "niqe"))
outcome = complete(row_run, Faces(store, store, store, Sizes(2, 2, 2)), torch.device("cpu"), 1, Bar)
assert outcome.status == "finished", outcome
(sheet,) = run.scores().values()
assert all(len(sheet.values(metric, "sparnet")) == 2 for metric in row_run.metrics)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and unpack it as an installer would."""
    out = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", str(out), str(ROOT)], check=True)
    (path,) = out.glob("fsr_bench-*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(out / "site")
    return out / "site"


def run(code: str, site: Path, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site), "FSR_ROOT": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_works_away_from_the_repository(wheel: Path, tmp_path: Path) -> None:
    code = (
        "import bench, methods; print(bench.__file__, methods.__file__);"
        "from bench.data.cards import read_card; read_card('celeba'); read_card('synthfaces');"
        "from bench.runs.job import load_job; assert len(load_job('ablation', 'paper').experiment.rows) == 11;"
        "from bench.papers.paper import papers; assert len(papers()) == 4"
    )
    assert all(Path(path).is_relative_to(wheel) for path in run(code, wheel, tmp_path).split())
    tops = {path.name for path in wheel.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == {"bench", "methods"}


def test_our_datasets_folder_does_not_hide_the_package_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("name = 'the package'")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import datasets; print(datasets.name)"
    assert run(code, tmp_path, tmp_path).strip() == "the package"


def test_training_and_scoring_need_torch_numpy_pillow_safetensors_and_filelock_alone(tmp_path: Path) -> None:
    run(TRAIN_AND_SCORE, ROOT, tmp_path)
