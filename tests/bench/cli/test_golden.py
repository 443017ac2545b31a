"""What `fsr` says of itself, word for word: the help of every command, and mistakes in one line each.

`FSR_GOLDEN=write python -m pytest tests/bench/cli/test_golden.py` writes the files anew; look at the difference.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.groups import GROUPS, examples
from bench.cli.main import COMMANDS, Commands, main
from bench.cli.speed import app
from bench.core.names import listed
from bench.runs.experiment import PROFILES

GOLDEN = Path(__file__).parent / "golden"
BENCHMARKS = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
HELPS = ["", *COMMANDS, *(f"bench {name}" for name in BENCHMARKS)]
MISTAKES = """
rnu
run
run ablatoin
run ablation --prfile quick
run ablation --profile quik
run ablation --executor rya
run ablation --jobs many
run ablation --jobs
run ablation --scheduler asha
run ablation quick
run none.toml
run ablation --set width
run ablation --json=yes
data verfy
score
score --sr sr some
methods --plugin none.py
fit-niqe --out fitted.json
bench trian
bench data --seconds 0
upscale a.jpg --no-detect --margin 1
--verison
"""


def check(name: str, text: str) -> None:
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("FSR_GOLDEN") == "write":
        file.write_text(text)
    assert text == file.read_text()


@pytest.fixture(autouse=True)
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", HELPS)
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert command in ("", "bench") or ("--json" in text and "--plugin FILE.py" in text)
    check(f"help-{command.replace(' ', '-')}".rstrip("-"), text)


def test_the_help_names_every_profile() -> None:
    text = (GOLDEN / "help-run.txt").read_text()
    assert all(
        path.stem in text.split("--profile NAME")[1].split(" or a TOML file")[0] for path in listed(PROFILES, "*.toml")
    )


def test_every_command_has_a_group_and_an_example_that_is_right() -> None:
    named = [name for names in GROUPS.values() for name in names]
    assert len(named) == len(set(named)) and set(COMMANDS) <= set(named) == set(examples())
    for name in COMMANDS:
        program, command, *words = shlex.split(examples()[name])
        assert (program, command) == ("fsr", name)
        found = Commands().get_command(None, name)  # type: ignore[arg-type]
        assert found is not None
        found.make_context(name, words, resilient_parsing=False)  # raises for an option that is none


def test_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for command in MISTAKES.strip().splitlines():
        assert main(shlex.split(command)) == 2, command
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("fsr: ") and err.count("\n") == 1, (out, err)
        lines.append(f"$ fsr {command}\n{err}")
    check("mistakes", "".join(lines))


@pytest.mark.parametrize(
    ("words", "expected", "heavy"),
    [
        ("fsr sc", "score", {"torch", "numpy", "pandas", "pydantic"}),
        ("fsr score spa", "sparnet", {"torch", "numpy", "pandas"}),
        ("fsr score --metric ps", "psnr", {"torch", "pandas"}),
        ("fsr run --data mi", "mine", {"torch", "pandas"}),
    ],
)
def test_completion_imports_nothing_heavy(words: str, expected: str, heavy: set[str], tmp_path: Path) -> None:
    store = tmp_path / "datasets" / "prepared" / "mine" / "test"
    store.mkdir(parents=True)
    (store / "card.json").write_text("{}")
    code = (
        "import atexit, sys\n"
        "from bench.cli.main import main\n"
        f"atexit.register(lambda: print('heavy:', sorted({heavy} & set(sys.modules))))\n"
        "main([])"
    )
    asked = {"_FSR_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True)
    assert expected in done.stdout.split() and "heavy: []" in done.stdout, done.stdout + done.stderr


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from bench.cli.main import main\n"
        "assert main(['run', '--help']) == main(['--help']) == 0\n"
        "assert not {'torch', 'numpy', 'pandas', 'pydantic', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_a_reader_who_leaves_is_no_mistake() -> None:
    command = [sys.executable, "-m", "bench.cli.main", "--help"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert done.returncode == 128 + 13 and done.stderr == b""
