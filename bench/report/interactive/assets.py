"""The libraries that a page carries: Plotly and the slider from vendor/, DataTables from the package itables.

Each is packed by gzip and base64, which the page undoes: that is less than half of their size.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import importlib.util
import lzma
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import UserError
from bench.core.schema import from_dict, read_toml

FOLDER = Path(__file__).parent
VENDOR = FOLDER / "vendor"


@dataclass(frozen=True)
class Vendored:
    """A script of somebody else's, as vendor.toml lists it: `sha256` is that of the script as npm has it."""

    package: str
    version: str
    licence: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Vendor:
    """vendor.toml: the scripts in the folder beside it."""

    plotly: Vendored
    slider: Vendored


@functools.cache
def vendor() -> Vendor:
    """Return what is vendored."""
    path = VENDOR / "vendor.toml"
    return from_dict(Vendor, read_toml(path), str(path))


def read_vendored(script: Vendored) -> bytes:
    """Return a script as npm has it; raise UserError where it is damaged."""
    content = (VENDOR / script.file).read_bytes()
    content = lzma.decompress(content) if script.file.endswith(".xz") else content
    if hashlib.sha256(content).hexdigest() != script.sha256:
        raise UserError(f"{VENDOR / script.file}: not {script.package} {script.version}; install the suite again")
    return content


@functools.cache
def libraries() -> dict[str, str]:
    """Return the libraries by the id that the page's script asks for, packed."""
    tables = _itables() / "html"
    return {
        "plotly": packed(read_vendored(vendor().plotly)),
        "slider": packed(read_vendored(vendor().slider)),
        "datatables": packed((tables / "dt_bundle.js").read_bytes()),
        "datatables-css": packed((tables / "dt_bundle.css").read_bytes()),
    }


def _itables() -> Path:
    """Return the folder of the package itables, which takes two seconds to import."""
    spec = importlib.util.find_spec("itables")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the package itables is missing, which has the tables of report.html: pip install itables")
    return Path(spec.submodule_search_locations[0])


def packed(content: bytes) -> str:
    """Return bytes by gzip and base64; the same bytes give the same text."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def own(name: str) -> str:
    """Return a file of the page's own: its script or its style."""
    return (FOLDER / name).read_text(encoding="utf-8")
