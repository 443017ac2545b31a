"""What is written to a terminal of few letters, a closed stream, a pipe without a reader or a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

_PRINT = "from bench.core.streams import prepare_streams; prepare_streams(); import sys\n"
_PRINT += "print(sys.argv[1]); print(sys.argv[1], file=sys.stderr)"
_FSR = [sys.executable, "-m", "bench.cli.main", "--help"]


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", rb"a 8x8 +/- 2 dB... 5 us \xe9 \u4e2d Zo\xeb"),
        ("latin-1", b"a 8\xd78 \xb1 2 dB... 5 \xb5s \xe9 \\u4e2d Zo\\xeb"),
        ("cp1252", b"a 8\xd78 \xb1 2 dB\x85 5 \xb5s \xe9 \\u4e2d Zo\\xeb"),
        ("utf-8", "a 8×8 ± 2 dB… 5 µs é 中 Zo\\xeb".encode()),  # noqa: RUF001
    ],
)
def test_a_letter_that_a_terminal_lacks_is_shown_by_others(encoding: str, shown: bytes) -> None:
    text = "a 8×8 ± 2 dB… 5 µs é 中 ".encode() + b"Zo\xeb"  # the last name is no UTF-8  # noqa: RUF001
    done = subprocess.run(
        [sys.executable.encode(), b"-c", _PRINT.encode(), text],
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "1"},
        capture_output=True,
        check=True,
    )
    assert (done.stdout.rstrip(), done.stderr.rstrip()) == (shown, shown)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_standard_output_is_one_line_and_a_failure(unbuffered: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            _FSR, stdout=full, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": unbuffered}
        )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "No space left on device" in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_gone_is_no_mistake(unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        _FSR, stdout=writer, stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": unbuffered}
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_streams_that_are_closed_lead_nowhere(tmp_path: Path) -> None:
    code = _PRINT + "\nhandle = open(sys.argv[2], 'w'); assert handle.fileno() > 2; os = __import__('os')"
    code += "\nos.write(1, b'astray'); os.write(2, b'astray')"
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code, "text", str(tmp_path / "file")]
    assert subprocess.run(command).returncode == 0
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["metrics", "--json"]])
def test_a_result_for_a_closed_standard_output_is_a_failure(arguments: list[str]) -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *_FSR[:-1], *arguments]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "fsr: standard output: Bad file descriptor\n")
    wrong = subprocess.run([*command[:-1], "mertics"], stderr=subprocess.PIPE, text=True)
    assert wrong.returncode == 2 and "mertics" in wrong.stderr
    command[2] = 'exec "$@" <&- 2>&-'
    assert subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0


def test_the_command_line_has_no_other_way_with_letters(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    score = [sys.executable, "-m", "bench.cli.main", "score", "--sr", ".", "--hr", ".", "--metric", "psnr"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(Path(__file__).parents[3])}
    environment["FSR_CACHE"] = str(tmp_path / "cache")
    done = subprocess.run(score, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "PSNR      dB      inf " in done.stdout, "of two pictures that are one"
