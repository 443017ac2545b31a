"""What `fsr upscale` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.core.errors import UserError
from bench.data.scan import NO_FACE
from bench.runs.photos import Photo

_NAMED = 3  # photos in a message
_Result = Mapping[str, Any]


def failures(result: _Result) -> list[str]:
    """Return in a line each which photos were skipped and which faces could not be written, and why."""
    skipped = [f"{photo['photo']}: {photo['problem']}" for photo in result["photos"] if _is_skipped(photo)]
    unwritten = [face["problem"] for photo in result["photos"] for face in photo["faces"] if face["problem"]]
    lines = [_skipped_text(skipped, result["summary"]["photos"])]
    lines.append(f"{_count(len(unwritten), 'face')} not written: {_some(unwritten)}")
    return [line for line, of in zip(lines, (skipped, unwritten), strict=True) if of]


def warnings(result: _Result) -> list[str]:
    """Return in a line each of which faces the network's output was no picture."""
    lines = []
    for what, is_such in (
        ("the network's output is not finite, Bicubic was written", lambda face: not face["finite"]),
        ("the network's output is far out of a picture's range", lambda face: face["far_out"]),
    ):
        faces = [
            f"{photo['photo']} face {number}"
            for photo in result["photos"]
            for number, face in enumerate(photo["faces"], 1)
            if is_such(face)
        ]
        if faces:
            lines.append(f"{len(faces)} of {_count(result['summary']['faces'], 'face')}: {what}: {_some(faces)}")
    return lines


def check_readable(photos: Sequence[Photo]) -> None:
    """Raise UserError where no photo is one that can be read, before a network is loaded for them."""
    if all(photo.entry is None for photo in photos):
        raise UserError(_skipped_text([f"{photo.name}: {photo.problem}" for photo in photos], len(photos)))


def check_faces(result: _Result) -> None:
    """Raise UserError where no photo has a face."""
    photos = result["photos"]
    if any(photo["faces"] for photo in photos):
        return
    without = [photo["photo"] for photo in photos if not _is_skipped(photo)]
    lines = failures(result)
    if without:
        small = result["summary"]["left_out"].get("small")
        looked = result["detector"] + (f", {small} smaller left out" if small else "")
        way_out = "--min-face 20 finds smaller ones, --min-probability 0.8 less sure ones"
        lines.insert(
            0, f"no face found in {_some(without)} ({looked}); {way_out}, --no-detect takes a photo as one face"
        )
    raise UserError("; ".join(lines))


def upscale_text(result: _Result) -> str:
    """Return what was done, for a terminal: the network, a line a photo and a face, and of several photos the sum."""
    lines = [_network_text(result["network"])]
    if result["network"]["research_only"]:
        lines.append("for research only: so are the photos that it was trained on")
    for photo in result["photos"]:
        notes = [*_notes(photo), *_left_out(photo["left_out"])]
        faces = [_face_text(face, result) for face in photo["faces"]]
        head = photo["problem"] or _count(len(faces), "face")
        lines.append(f"{photo['photo']}: {'; '.join([head, *notes, *(faces if len(faces) == 1 else ())])}")
        lines += [f"  face {number}: {text}" for number, text in enumerate(faces, 1) if len(faces) > 1]
    return "\n".join([*lines, _sum_text(result["summary"])] if len(result["photos"]) > 1 else lines)


def _face_text(face: _Result, result: _Result) -> str:
    side, size = face["square"][2], result["size"]
    text = f"{side} px, taken as it is"
    if face["shrunk"]:
        text = f"{side} px, shrunk to {size}: less detail than in the photo"
        if "hr" in face["files"] and side < result["output"]:
            text += f"; warning: its _hr is enlarged from {side} to {result['output']} px"
    elif face["enlarged"]:
        text = f"{side} px, enlarged to {size}"
    if not face["finite"]:
        text += "; WARNING: the network's output is not finite, Bicubic was written"
    elif face["far_out"]:
        least, most = face["range"]
        values = f"the network's values go from {least:.3g} to {most:.3g} where a picture's go from 0 to 1"
        text += f"; WARNING: {values}, {100 * face['far_out_share']:.3g}% of them far out of range"
    return f"{text}; {face['problem']}" if face["problem"] else text


def _notes(photo: _Result) -> list[str]:
    notes = [kind for kind in photo["converted"] if kind.startswith("reduced")]
    if photo["renamed"]:
        notes.append(f"written as {photo['stem']}_..., for pictures of another photo have its name")
    return notes


def _left_out(counts: Mapping[str, int]) -> list[str]:
    words = {"small": "smaller (--min-face)", "overlapping": "overlapping a likelier one (--max-overlap)"}
    return [f"{counts[why]} {text} left out" for why, text in words.items() if why in counts]


def _sum_text(summary: _Result) -> str:
    """Return the last line: how many photos and faces, what was skipped and why, and what is not the network's."""
    parts = [f"{_count(summary['photos'], 'photo')}, {_count(summary['faces'], 'face')}"]
    if summary["without_face"]:
        parts.append(f"{summary['without_face']} without a face")
    if summary["skipped"]:
        reasons = (f"{count} {why}" for why, count in summary["skipped"].items())
        parts.append(f"{sum(summary['skipped'].values())} skipped ({', '.join(reasons)})")
    parts += _left_out(summary["left_out"])
    words = {"fallen_back": "by Bicubic", "far_out": "far out of range", "not_written": "not written"}
    parts += [f"{_count(summary[what], 'face')} {text}" for what, text in words.items() if summary[what]]
    return "; ".join(parts)


def _network_text(network: _Result) -> str:
    trained, about = network["trained_on"], []
    if trained:
        data = f"{trained['faces']:,} faces of {trained['dataset']}"
        about.append(f"trained on {data}, {trained['iterations']:,} iterations of batch {trained['batch']}")
    if network["psnr"] is not None:
        about.append(f"{network['psnr']:.2f} dB on its test faces")
    name = f"{network['label']} ({network['method']}, x{network['scale']}) of experiment {network['experiment']}"
    return f"{name}: {'; '.join(about)}" if about else name


def _is_skipped(photo: _Result) -> bool:
    return bool(photo["problem"]) and not photo["problem"].startswith(NO_FACE)


def _skipped_text(skipped: Sequence[str], photos: int) -> str:
    return f"{len(skipped)} of {_count(photos, 'photo')} skipped: {_some(skipped)}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def _some(names: Sequence[str]) -> str:
    """Return names, of many the first alone; never all but one."""
    shown = names if len(names) <= _NAMED + 1 else [*names[:_NAMED], "..."]
    return ", ".join(shown)
