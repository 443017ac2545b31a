"""What `fsr upscale` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.core.errors import UserError
from bench.data.scan import NO_FACE

_NAMED = 3  # photos in a message


def unreadable(result: Mapping[str, Any]) -> str:
    """Return in a line which photos cannot be read and why; "" when all can."""
    bad = [photo for photo in result["photos"] if photo["problem"] not in (None, NO_FACE)]
    if not bad:
        return ""
    told = [f"{photo['photo']}: {photo['problem']}" for photo in bad[:_NAMED]]
    return f"{len(bad)} of {len(result['photos'])} photos cannot be read: {_some(told, bad)}"


def check_faces(result: Mapping[str, Any]) -> None:
    """Raise UserError where no photo has a face."""
    photos = result["photos"]
    if any(photo["faces"] for photo in photos):
        return
    without = [photo["photo"] for photo in photos if photo["problem"] == NO_FACE]
    lines = [unreadable(result)] if unreadable(result) else []
    if without:
        way_out = "--min-face 20 finds smaller ones, --no-detect takes a photo as one face"
        lines.insert(0, f"no face found in {_some(without[:_NAMED], without)} ({result['detector']}); {way_out}")
    raise UserError("; ".join(lines))


def upscale_text(result: Mapping[str, Any]) -> str:
    """Return what was done, for a terminal: the network, then a line a photo."""
    lines = [_network_text(result["network"])]
    if result["network"]["research_only"]:
        lines.append("for research only: so are the photos that it was trained on")
    for photo in result["photos"]:
        small = sum(not face["shrunk"] for face in photo["faces"])
        count = f"{len(photo['faces'])} face{'s' if len(photo['faces']) != 1 else ''}"
        note = f", {small} of at most {result['size']} pixels and not shrunk" if small else ""
        lines.append(f"{photo['photo']}: {photo['problem'] or count + note}")
    return "\n".join(lines)


def _network_text(network: Mapping[str, Any]) -> str:
    trained, told = network["trained_on"], []
    if trained:
        data = f"{trained['faces']:,} faces of {trained['dataset']}"
        told.append(f"trained on {data}, {trained['iterations']:,} iterations of batch {trained['batch']}")
    if network["psnr"] is not None:
        told.append(f"{network['psnr']:.2f} dB on its test faces")
    about = f": {'; '.join(told)}" if told else ""
    return f"{network['label']} ({network['method']}, x{network['scale']}) of experiment {network['experiment']}{about}"


def _some(told: Sequence[str], of: Sequence[object]) -> str:
    return ", ".join(told) + (", ..." if len(of) > len(told) else "")
