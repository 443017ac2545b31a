"""What is told of an author's checkpoint wherever its numbers stand; nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass

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
