"""Compare the CSV tables of two commits' reference reports, value by value, by row and column name.

    python tests/compare_reports.py BEFORE [AFTER]

BEFORE and AFTER are commits; without AFTER the files of the working tree are compared. Prints what differs and exits
with 1 where a table, row, column or value is missing or another; new ones are counted.
"""

from __future__ import annotations

import csv
import io
import math
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = "reports/reference"
_KEYS = ("model", "effect", "dataset")
_Values = dict[tuple[str, ...], str]


def git(*arguments: str) -> str:
    """Return what git prints."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def tables(commit: str | None) -> dict[str, str]:
    """Return the CSV tables of a commit, or of the working tree, by path."""
    if commit is None:
        return {str(path.relative_to(ROOT)): path.read_text() for path in sorted((ROOT / FOLDER).rglob("*.csv"))}
    names = git("ls-tree", "-r", "--name-only", commit, FOLDER).split()
    return {name: git("show", f"{commit}:{name}") for name in names if name.endswith(".csv")}


def values(name: str, text: str) -> _Values:
    """Return the values of a table by table, row and column name; rows of one name are told apart by their place."""
    found: _Values = {}
    for row in csv.DictReader(io.StringIO(text)):
        key = tuple(row.get(column, "") for column in _KEYS)
        place = sum((name, *key, str(n), next(iter(row))) in found for n in range(99))
        found |= {(name, *key, str(place), column): value for column, value in row.items()}
    return found


def differs(before: str, after: str) -> float:
    """Return how far two values are apart, relative to the first: 0 for the same text, infinity for other texts."""
    if before == after:
        return 0.0
    try:
        a, b = float(before), float(after)
    except ValueError:
        return math.inf
    return abs(a - b) / abs(a) if a else math.inf


def main(arguments: list[str]) -> int:
    """Compare; return 0 when nothing that was there is missing or another."""
    before, after = (
        {key: value for name, text in tables(commit).items() for key, value in values(name, text).items()}
        for commit in (arguments[0], arguments[1] if len(arguments) > 1 else None)
    )
    missing = [key for key in before if key not in after]
    other = {key: differs(before[key], after[key]) for key in before if key in after and before[key] != after[key]}
    for key in missing[:20]:
        print("missing:", " / ".join(filter(None, key)))
    for key in list(other)[:20]:
        print(f"{' / '.join(filter(None, key))}: {before[key]!r} before, {after[key]!r} after")
    print(
        f"{len(before)} values before: {len(before) - len(missing) - len(other)} the same, {len(other)} another "
        f"(largest relative difference {max(other.values(), default=0.0):.1e}), {len(missing)} missing; "
        f"{len(after.keys() - before.keys())} new"
    )
    return int(bool(missing or other))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
