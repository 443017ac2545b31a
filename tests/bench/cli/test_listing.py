"""`fsr list` names what the other commands take, without torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bench.cli import complete
from bench.cli.listing import LISTS
from bench.cli.main import main
from bench.metrics.catalogue import catalogue

KNOWN = {
    "methods": complete.methods,
    "experiments": complete.experiments,
    "profiles": complete.profiles,
    "protocols": lambda: complete.protocols()[:-1],
    "metrics": lambda: list(catalogue()),
    "data": complete.cards,
}


@pytest.mark.parametrize("what", LISTS)
def test_every_name_is_listed(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", what, "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    names = [record.get("name", record.get("id")) for record in records]
    assert set(KNOWN[what]()) <= set(names) and len(names) == len(set(names))
    assert main(["list", what]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in names)


def test_a_wrong_list_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "protocol"]) == 2
    assert "did you mean 'protocols'" in capsys.readouterr().err


def test_listing_imports_no_torch() -> None:
    code = (
        "import sys; from bench.cli.main import main\n"
        f"assert not any(main(['list', what]) for what in {list(LISTS)})\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
