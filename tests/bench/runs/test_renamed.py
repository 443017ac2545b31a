"""Results on faces that only stand in for a data set get a name of their own; results on the set itself keep its."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.analysis.results import read_results
from bench.cli.main import main
from bench.core import paths
from bench.core.errors import UserError
from bench.core.files import read_json
from bench.data import store as stores
from bench.data.cards import card_names, read_card, renamed
from bench.data.store import FaceRow, open_split, write_store
from bench.runs import archive as archives
from bench.runs import renamed as module
from bench.runs.migrate import migrate
from tests.bench.conftest import smooth_faces
from tests.bench.report.fabricate import FINGERPRINT, change, fabricate, read_score_rows, rows_of_table_1

OTHER = "0ddba11" + FINGERPRINT[7:]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results, with digests, on two sets with a former name and one without."""
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    folder = fabricate(tmp_path / "results" / "mine", rows=rows_of_table_1()[:3], tests=("web-face", "lfw"))
    for name in ("web-face", "crowds"):
        sets = {f"{name}/test": FINGERPRINT, "lfw/test": FINGERPRINT}
        leak = {"train": "celeba/train", "test": f"{name}/test", "pairs": []}
        audit = {"dataset": name, "title": "Old", "stands_for": "Old.", "splits": {}, "sets": sets, "leakage": [leak]}
        change(folder / "experiment.json", audits=[*read_json(folder / "experiment.json").get("audits", []), audit])
    migrate(folder)
    names = {("web-face", FINGERPRINT): "aaf-16", ("crowds", OTHER): "crowd"}
    monkeypatch.setattr(module, "renamed", lambda: names)
    return folder


def test_the_committed_cards_say_what_was_renamed() -> None:
    former = {read_card(name).formerly: name for name in card_names()}
    assert {(old, name) for (old, _), name in renamed().items()} == {("webface", "aaf-16"), ("widerface", "crowd")}
    assert former["widerface"] == "crowd" and {"webface", "widerface"} <= {*card_names()}


def test_a_stand_in_gets_its_own_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = sorted(path.parent for path in folder.glob("*/run.json"))
    before = {run.name: read_score_rows(run) for run in runs}
    told = "test set web-face is called 'aaf-16' now, for it only stands in for web-face.*fsr migrate"
    with pytest.raises(UserError, match=told):
        read_results(folder)
    with pytest.raises(UserError, match=told):
        archives.archive("mine")
    assert main(["migrate", str(folder.parent)]) == 0
    assert f"{1 + len(runs)} records migrated" in capsys.readouterr().out
    results = read_results(folder)
    assert not results.damaged, "digests are those of the renamed files"
    assert [test.dataset for test in results.test] == ["aaf-16", "lfw"]
    for run in runs:
        named = [{**row, "dataset": row["dataset"].replace("web-face", "aaf-16")} for row in before[run.name]]
        own = read_score_rows(run)
        assert sorted(map(str, own)) == sorted(map(str, named)) and len(own) == 12, "the same values"
        assert read_json(run / "run.json")["name"] == run.name
    first, second = read_json(folder / "experiment.json")["audits"]
    assert (first["dataset"], first["title"]) == ("aaf-16", read_card("aaf-16").title)
    assert list(first["sets"]) == ["aaf-16/test", "lfw/test"] and first["leakage"][0]["test"] == "aaf-16/test"
    assert second["dataset"] == "crowds" and "crowds/test" in second["sets"], "of other faces: the name stays"
    assert migrate(folder) == [], "nothing is left to do"


def test_the_first_faces_of_a_set_are_known_by_its_audit(folder: Path) -> None:
    """Results on a few faces have a fingerprint of their own; the audit beside them has that of the whole set."""
    audits = read_json(folder / "experiment.json")["audits"]
    test = read_json(folder / "experiment.json")["test"]
    for run in folder.glob("*-s*"):
        (run / "scores" / f"web-face-{FINGERPRINT[:12]}.csv").rename(run / "scores" / f"web-face-{OTHER[:12]}.csv")
        change(run / "run.json", digests={})
    change(folder / "experiment.json", test=[{**test[0], "fingerprint": OTHER}, test[1]])
    assert [one.dataset for one in read_results(folder).test] == ["web-face", "lfw"], "they may be anybody's"
    audits[0]["splits"] = {"test": {"fingerprint": FINGERPRINT}}
    change(folder / "experiment.json", audits=audits)
    migrate(folder)
    results = read_results(folder)
    assert [one.dataset for one in results.test] == ["aaf-16", "lfw"]
    assert all(run.scored(one, "sparnet") for row in results.rows for run in row.runs for one in results.test)


def test_what_was_interrupted_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for place, name in ((module, "write_run_record"), (Path, "unlink"), (module, "write_experiment_record")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(place, name, killed)
            migrate(folder)
    migrate(folder)
    results = read_results(folder)
    assert not results.damaged and not list(folder.glob("*/scores/web-face*"))
    assert all(run.scored(one, "sparnet") for row in results.rows for run in row.runs for one in results.test)


def test_prepared_faces_of_the_former_name_say_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    path, rows = paths.prepared() / "webface" / "test", [FaceRow("a"), FaceRow("b")]
    made = write_store(path, rows, enumerate(smooth_faces(2, 0, 16)), {"kind": "real-world"}, size=16)
    assert open_split("webface", "test").fingerprint == made.fingerprint
    monkeypatch.setattr(stores, "renamed", lambda: {("webface", made.fingerprint): "aaf-16"})
    with pytest.raises(UserError, match=r"the data set of these faces is called 'aaf-16' now; .*fsr prepare aaf-16"):
        open_split("webface", "test")
