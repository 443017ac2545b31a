"""What is told of an author's checkpoint wherever its numbers stand; nothing here imports torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import UserError

MARK = "authors' weights"
WARNING = "the faces that they were trained on are not known here, and test faces may be among them"


@dataclass(frozen=True)
class Checkpoint:
    """An author's checkpoint as it was read: its file's name and SHA-256, its tensors, and how many of them unused."""

    file: str
    sha256: str
    tensors: int = 0
    unused: int = 0

    @property
    def about(self) -> str:
        """Whose weights they are, in a sentence without its full stop."""
        return f"{MARK} ({self.file}, SHA-256 {self.sha256[:12]}); {WARNING}"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a checkpoint in hexadecimal; raise UserError where there is no file."""
    if not path.is_file():
        raise UserError(f"{path}: no such file, expected a checkpoint of a method's authors")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
