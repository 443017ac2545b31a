"""The audit of a data set as a page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from bench.core import paths
from bench.core.files import read_json, write_text
from bench.report.markdown import escape
from bench.report.table import DASH

_SHOWN = 10  # leaks a pair of sets that the page shows


def audit_page(audit: Mapping[str, Any]) -> str:
    """Return audit.md of one data set."""
    return f"# Audit of {escape(audit['title'])}\n\n" + audit_section(audit) + "\n"


def write_page(dataset: str) -> Path:
    """Write audit.md beside the audit.json of a prepared data set, and return its path."""
    folder = paths.prepared() / dataset
    text = audit_page(read_json(folder / "audit.json"))
    if not (folder / "audit.md").exists() or (folder / "audit.md").read_text(encoding="utf-8") != text:
        write_text(folder / "audit.md", text)
    return folder / "audit.md"


def audit_section(audit: Mapping[str, Any]) -> str:
    """Return what an audit says, without a heading: faces, the crop's fingerprint, what was left out, leaks."""
    parts = [escape(audit["stands_for"])] if audit["stands_for"] else []
    parts += [_faces(audit), _recipe(audit)]
    if any(split["bicubic"] for split in audit["splits"].values()):
        parts.append(_bicubic(audit))
    else:
        parts.append("There is no ground truth: only no-reference metrics apply.")
    parts += [_left_out(audit), _leakage(audit["leakage"])]
    return "\n\n".join(part for part in parts if part)


def _faces(audit: Mapping[str, Any]) -> str:
    """Return the table of what became of the photos; of generated faces only their number is known."""
    if not any(split["side"] for split in audit["splits"].values()):
        splits = audit["splits"].items()
        body = [[name, split["faces"], f"`{split['fingerprint'][:12]}`"] for name, split in splits]
        return _table(["Split", "Faces", "Fingerprint"], body)
    names = ("photos", "corrupt", "no face", "several faces", "too small", "grey", "faces")
    head = ["Split", *(name.capitalize() for name in names), "Side in the photo (px)", "Enlarged", "Fingerprint"]
    body = [
        [
            name,
            *(split["counts"].get(count) for count in names[:-1]),
            split["faces"],
            _sides(split["side"]),
            split["side"]["enlarged"] if split["side"] else None,
            f"`{split['fingerprint'][:12]}`",
        ]
        for name, split in audit["splits"].items()
    ]
    return _table(head, body)


def _recipe(audit: Mapping[str, Any]) -> str:
    recipes: dict[str, list[str]] = {}
    for name, split in audit["splits"].items():
        if split["side"]:
            recipes.setdefault(_recipe_text(split["recipe"]), []).append(name)
    whose = {text: f" of {' and '.join(names)}" if len(recipes) > 1 else "" for text, names in recipes.items()}
    return "\n\n".join(f"Recipe{splits}: {text}." for text, splits in whose.items())


def _recipe_text(recipe: Mapping[str, Any]) -> str:
    resample = f"{recipe['resample']} to" if recipe["resample"] != "none" else "not resampled,"
    least = f"squares of at least {recipe['least_side']} px" if recipe["least_side"] else "squares of any size"
    most = f" and at most {recipe['most_side']} px" if recipe["most_side"] else ""
    return (
        f"detector {recipe['detector']} (faces of at least {recipe['min_face']} px, probability at least "
        f"{recipe['least_probability']:g}), face chosen: {recipe['choose']}, margin {recipe['margin']:g}, "
        f"border {recipe['border']}, {least}{most}, {resample} {recipe['size']}x{recipe['size']}"
    )


def _bicubic(audit: Mapping[str, Any]) -> str:
    head = ["Bicubic x8", "Faces", "PSNR (dB)", "SSIM"]
    body = [
        [name, row["faces"], _decimals(row["psnr"], 3), _decimals(row["ssim"], 4)]
        for name, split in audit["splits"].items()
        if (row := split["bicubic"])
    ]
    paper, test = audit["paper"], audit["splits"].get("test", {}).get("bicubic")
    protocols = {split["bicubic"]["protocol"] for split in audit["splits"].values() if split["bicubic"]}
    text = f"The fingerprint of the crop, protocol `{', '.join(sorted(protocols))}`:\n\n"
    if paper:
        body.append(["the paper, on its own photos", DASH, f"{paper['psnr']:.3f}", f"{paper['ssim']:.3f}"])
        if test and None not in (test["psnr"], test["ssim"]):
            psnr, ssim = test["psnr"] - paper["psnr"], test["ssim"] - paper["ssim"]
            body.append(["test less the paper", "", f"{psnr:+.3f}", f"{ssim:+.4f}"])
    return text + _table(head, body)


def _left_out(audit: Mapping[str, Any]) -> str:
    lines = [
        f"- {name}: {left['count']:,} left out, {escape(reason)}: {escape(', '.join(left['files'][:3]))}"
        f"{', ...' if len(left['files']) > 3 else ''}"
        for name, split in audit["splits"].items()
        for reason, left in split["counts"].get("left out", {}).items()
    ]
    return "\n".join(lines)


def _leakage(pairs: Sequence[Mapping[str, Any]]) -> str:
    if not pairs:
        return ""
    head = ["Training set", "Tested on", "Same photo", "Near-duplicates", "Identities in both"]
    body = [
        [
            escape(pair["train"]),
            escape(pair["test"]),
            pair["exact"],
            "not looked for: too small" if pair["near"] is None else pair["near"],
            pair["identity_check"] if pair["identities"] is None else pair["identities"],
        ]
        for pair in pairs
    ]
    lines = [
        f"- {leak['kind']}: {escape(pair['train'])}/{escape(leak['train'])} = "
        f"{escape(pair['test'])}/{escape(leak['test'])}"
        f" ({leak['bits']} of 256 bits differ)"
        for pair in pairs
        for leak in pair["pairs"][:_SHOWN]
    ]
    return "Leakage:\n\n" + "\n\n".join([_table(head, body), *(["\n".join(lines)] if lines else [])])


def _sides(side: Mapping[str, Any] | None) -> str | None:
    if side is None:
        return None
    least, _, median, _, most = side["quartiles"]
    return f"{least} to {most}, median {median}"


def _decimals(value: float | None, places: int) -> str | None:
    return None if value is None else f"{value:.{places}f}"


def _table(head: Sequence[str], body: Sequence[Sequence[str | int | None]]) -> str:
    """Return a table in Markdown, None as a dash."""
    cells = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in body]
    return tabulate(cells, headers=head, tablefmt="pipe", disable_numparse=True, missingval=DASH)
