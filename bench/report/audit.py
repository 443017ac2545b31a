"""The audit of a data set as a page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from bench.core import paths
from bench.core.files import keep
from bench.report.markdown import escape
from bench.report.table import DASH

_SHOWN = 10  # leaks a pair of sets, and duplicates a split, that the page shows
# Measured on 699 faces, see datasets/README.md and tests/bench/runs/test_real_photos.py.
_FOUND = (
    "Near-duplicates are what a perceptual hash finds: 88 to 96% of copies that were compressed, resized, toned, "
    "mirrored or cropped by up to 8%, 50% of those turned by 3 degrees, none turned by 8."
)


def audit_page(audit: Mapping[str, Any]) -> str:
    """Return audit.md of one data set."""
    looked = any(pair["near"] is not None for pair in [*audit["leakage"], *_twins(audit).values()])
    parts = [f"# Audit of {escape(audit['title'])}", audit_section(audit), *([_FOUND] if looked else [])]
    return "\n\n".join(parts) + "\n"


def keep_page(audit: Mapping[str, Any]) -> None:
    """Keep audit.md beside the faces of the data set that was audited."""
    keep(paths.prepared() / audit["dataset"] / "audit.md", audit_page(audit).encode())


def audit_section(audit: Mapping[str, Any]) -> str:
    """Return what an audit says, without a heading: faces, the crop's fingerprint, what was left out, leaks."""
    parts = [escape(audit["stands_for"])] if audit["stands_for"] else []
    parts += [_faces(audit), _recipe(audit)]
    if any(split["bicubic"] for split in audit["splits"].values()):
        parts.append(_bicubic(audit))
    else:
        parts.append("There is no ground truth: only no-reference metrics apply.")
    parts += [_left_out(audit), _duplicates(audit), _leakage(audit["leakage"])]
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
            recipes.setdefault(_recipe_text(split["recipe"], split.get("boxes", ())), []).append(name)
    whose = {text: f" of {' and '.join(names)}" if len(recipes) > 1 else "" for text, names in recipes.items()}
    return "\n\n".join(f"Recipe{splits}: {text}." for text, splits in whose.items())


def _recipe_text(recipe: Mapping[str, Any], boxes: Sequence[str]) -> str:
    resample = f"{recipe['resample']} to" if recipe["resample"] != "none" else "not resampled,"
    least = f"squares of at least {recipe['least_side']} px" if recipe["least_side"] else "squares of any size"
    most = f" and at most {recipe['most_side']} px" if recipe["most_side"] else ""
    return (
        f"{_faces_text(recipe, boxes)}, margin {recipe['margin']:g}, "
        f"border {recipe['border']}, {least}{most}, {resample} {recipe['size']}x{recipe['size']}"
    )


def _faces_text(recipe: Mapping[str, Any], boxes: Sequence[str]) -> str:
    """Return which faces were cut: only one detector has a probability and a choice."""
    if boxes:
        return f"boxes of a manifest (detector {escape(', '.join(name or 'not named' for name in boxes))})"
    if recipe["detector"] != "mtcnn":
        return f"detector {recipe['detector']}"
    return (
        f"detector {recipe['detector']} (faces of at least {recipe['min_face']} px, probability at least "
        f"{recipe['least_probability']:g}), face chosen: {recipe['choose']}"
    )


def _bicubic(audit: Mapping[str, Any]) -> str:
    rows = {name: split["bicubic"] for name, split in audit["splits"].items() if split["bicubic"]}
    head = ["Bicubic x8", "Faces", "PSNR (dB)", "SSIM"]
    body = [
        [name, _share(row), _estimate(row, "psnr", row["psnr"], 3), _estimate(row, "ssim", row["ssim"], 4)]
        for name, row in rows.items()
    ]
    paper, test = audit["paper"], rows.get("test")
    text = f"The fingerprint of the crop, protocol `{', '.join(sorted({row['protocol'] for row in rows.values()}))}`"
    if any("half" in row for row in rows.values()):
        text += "; where not all faces are measured, they are drawn at random, ± is the 95% interval of the mean of all"
    if paper:
        body.append(["the paper, on its own photos", DASH, f"{paper['psnr']:.3f}", f"{paper['ssim']:.3f}"])
        if test and None not in (test["psnr"], test["ssim"]):
            less = {name: test[name] - paper[name] for name in ("psnr", "ssim")}
            signs = (_estimate(test, name, less[name], digits, "+") for name, digits in (("psnr", 3), ("ssim", 4)))
            body.append(["test less the paper", "", *signs])
    return f"{text}:\n\n" + _table(head, body)


def _share(row: Mapping[str, Any]) -> str:
    return f"{row['faces']:,} of {row['of']:,}" if "of" in row else f"{row['faces']:,}"


def _estimate(row: Mapping[str, Any], name: str, value: float | None, places: int, sign: str = "") -> str | None:
    """Return a mean, or a difference of it, with half of its interval where it is that of a sample."""
    if value is None:
        return None
    half = row.get("half", {}).get(name)
    return f"{value:{sign}.{places}f}" + (f" ± {half:.{places}f}" if half is not None else "")


def _left_out(audit: Mapping[str, Any]) -> str:
    lines = [
        f"- {name}: {left['count']:,} left out, {escape(reason)}: {escape(', '.join(left['files'][:3]))}"
        f"{', ...' if len(left['files']) > 3 else ''}"
        for name, split in audit["splits"].items()
        for reason, left in split["counts"].get("left out", {}).items()
    ]
    return "\n".join(lines)


def _twins(audit: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the faces that are there twice by split; older audits and generated faces have none."""
    return {name: split["duplicates"] for name, split in audit["splits"].items() if split.get("duplicates")}


def _duplicates(audit: Mapping[str, Any]) -> str:
    splits = _twins(audit)
    if not splits:
        return ""
    if not any(twins["exact"] or twins["near"] for twins in splits.values()):
        looked = any(twins["near"] is not None for twins in splits.values())
        return "No split holds a photo twice" + (", or near-duplicates." if looked else ".")
    table = _table(
        ["Faces there already", "Same photo", "Near-duplicates"],
        [[name, twins["exact"], _near(twins["near"])] for name, twins in splits.items()],
    )
    lines = [
        f"- {twin['kind']}: {name}/{escape(twin['again'])} = {name}/{escape(twin['first'])} "
        f"({twin['bits']} of 256 bits differ)"
        for name, twins in splits.items()
        for twin in twins["pairs"][:_SHOWN]
    ]
    text = "Faces that their own split has already, which `fsr prepare --drop-duplicates` leaves out:"
    return "\n\n".join([text, table, "\n".join(lines)])


def _near(count: int | None) -> str | int:
    return "not looked for: too small" if count is None else count


def _leakage(pairs: Sequence[Mapping[str, Any]]) -> str:
    if not pairs:
        return ""
    head = ["Training set", "Tested on", "Same photo", "Near-duplicates", "Identities in both"]
    body = [
        [
            escape(pair["train"]),
            escape(pair["test"]),
            pair["exact"],
            _near(pair["near"]),
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
    return f"{least} to {most}, median {median}" if least < most else str(most)


def _table(head: Sequence[str], body: Sequence[Sequence[str | int | None]]) -> str:
    """Return a table in Markdown, None as a dash."""
    cells = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in body]
    return tabulate(cells, headers=head, tablefmt="pipe", disable_numparse=True, missingval=DASH)
