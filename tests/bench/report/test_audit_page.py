"""The audit as a page: every number of it is there, names cannot break it, and reports carry it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bench.core.files import read_json
from bench.report.audit import audit_page, audit_section
from bench.report.build import build_report
from bench.report.table import DASH
from tests.bench.report.fabricate import fabricate, rows_of_table_1

AUDITS = Path(__file__).parents[3] / "datasets" / "audits"
RECIPE = {
    "detector": "mtcnn",
    "min_face": 41,
    "least_probability": 0.95,
    "choose": "centre",
    "margin": 1.39,
    "border": "shift",
    "least_side": 64,
    "most_side": 0,
    "size": 128,
    "resample": "PIL bicubic",
}
NAMES = ("photos", "corrupt", "no face", "several faces", "too small", "grey", "faces")


def split(start: int, letter: str) -> dict[str, Any]:
    """Return the audit of one split with made-up numbers, all different, from `start` on."""
    return {
        "faces": start + 6,
        "size": 128,
        "fingerprint": letter * 64,
        "recipe": RECIPE,
        "counts": {
            **{name: start + place for place, name in enumerate(NAMES)},
            "left out": {"no face": {"count": start + 7, "files": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]}},
        },
        "side": {"quartiles": [start + 8, 1, start + 9, 2, start + 10], "enlarged": start + 11},
        "bicubic": {
            "scale": 8,
            "protocol": "sparnet",
            "faces": start + 12,
            "psnr": start / 100 + 0.1234,
            "ssim": 0.61234,
        },
    }


def audited() -> dict[str, Any]:
    return {
        "dataset": "mine",
        "title": "My faces",
        "kind": "reference",
        "stands_for": "Not the paper's photos.",
        "paper": {"psnr": 23.5, "ssim": 0.6},
        "splits": {"train": split(1000, "a"), "val": split(2000, "b"), "test": split(3000, "c")},
        "sets": {"mine/train": "a" * 64},
        "leakage": [
            {
                "train": "mine/train",
                "test": "mine/test",
                "exact": 1501,
                "near": 1502,
                "identities": 1503,
                "identity_check": "compared",
                "pairs": [{"kind": "near", "train": "t1", "test": "t2", "bits": 37}],
            },
            {
                "train": "mine/train",
                "test": "web/test",
                "exact": 0,
                "near": None,
                "identities": None,
                "identity_check": "not comparable",
                "pairs": [],
            },
        ],
    }


def cells(text: str, first: str) -> list[list[str]]:
    """Return the rows of the tables that begin with the cell `first`."""
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows if row[0].strip() == first]


def test_every_number_is_shown() -> None:
    text = audit_page(audited())
    assert text.startswith("# Audit of My faces\n\nNot the paper's photos.\n\n| Split ")
    head = ["Split", "Photos", "Corrupt", "No face", "Several faces", "Too small", "Grey", "Faces"]
    assert cells(text, "Split") == [[*head, "Side in the photo (px)", "Enlarged", "Fingerprint"]]
    for name, start, letter in (("train", 1000, "a"), ("val", 2000, "b"), ("test", 3000, "c")):
        counts, row = cells(text, name)
        sides = f"{start + 8} to {start + 10}, median {start + 9}"
        assert counts == [name, *(f"{start + n:,}" for n in range(7)), sides, f"{start + 11:,}", f"`{letter * 12}`"]
        assert row == [name, f"{start + 12:,}", f"{start / 100 + 0.123:.3f}", "0.6123"]
        assert f"- {name}: {start + 7:,} left out, no face: a.jpg, b.jpg, c.jpg, ...\n" in text
    assert cells(text, "the paper, on its own photos")[0][1:] == [DASH, "23.500", "0.600"]
    assert cells(text, "test less the paper")[0][1:] == ["", "+6.623", "+0.0123"]
    assert text.count("Recipe") == 1
    assert (
        "Recipe: detector mtcnn (faces of at least 41 px, probability at least 0.95), face chosen: centre, margin 1.39,"
        " border shift, squares of at least 64 px, PIL bicubic to 128x128.\n"
    ) in text
    assert cells(text, "mine/train") == [
        ["mine/train", "mine/test", "1,501", "1,502", "1,503"],
        ["mine/train", "web/test", "0", "not looked for: too small", "not comparable"],
    ]
    assert "\n\n- near: mine/train/t1 = mine/test/t2 (37 of 256 bits differ)\n\nNear-duplicates are " in text


def test_recipes_claim_of_a_detector_what_it_has() -> None:
    expected = {
        ("mtcnn", ()): "detector mtcnn (faces of at least 41 px, probability at least 0.95), face chosen: centre",
        ("center", ()): "detector center",
        ("landmarks", ()): "detector landmarks",
        ("mtcnn", ("_by hand_", "")): "boxes of a manifest (detector \\_by hand\\_, not named)",
    }
    for (detector, boxes), words in expected.items():
        found = audited()
        for one in found["splits"].values():
            one |= {"recipe": {**RECIPE, "detector": detector}, "boxes": list(boxes)}
        assert f"\n\nRecipe: {words}, margin 1.39, " in audit_page(found)


def test_a_sample_says_that_it_is_one_and_how_far_it_may_be_off() -> None:
    found = audited()
    found["splits"]["test"]["bicubic"] |= {"of": 60000, "half": {"psnr": 0.0812, "ssim": None}}
    text = audit_page(found)
    assert cells(text, "test")[1] == ["test", "3,012 of 60,000", "30.123 ± 0.081", "0.6123"]
    assert cells(text, "test less the paper")[0][1:] == ["", "+6.623 ± 0.081", "+0.0123"]
    assert "drawn at random, ± is the 95% interval" in text and "drawn" not in audit_page(audited())


def test_duplicates_inside_a_split_are_counted_and_named() -> None:
    found = audited()
    pairs = [{"kind": "near", "first": "_1_", "again": f"d{place}", "bits": place} for place in range(12)]
    found["splits"]["train"]["duplicates"] = {"exact": 1001, "near": 12, "pairs": pairs}
    found["splits"]["val"]["duplicates"] = {"exact": 0, "near": None, "pairs": []}
    text = audit_page(found)
    assert cells(text, "train")[2:] == [["train", "1,001", "12"]]
    assert cells(text, "val")[2:] == [["val", "0", "not looked for: too small"]]
    assert "which `fsr prepare --drop-duplicates` leaves out" in text
    assert "\n- near: train/d9 = train/\\_1\\_ (9 of 256 bits differ)\n" in text and "train/d10" not in text
    found["splits"]["train"]["duplicates"] = {"exact": 0, "near": 0, "pairs": []}
    assert "\n\nNo split holds a photo twice, or near-duplicates.\n\n" in audit_page(found)
    del found["splits"]["train"]["duplicates"]  # as in older audits
    assert "\n\nNo split holds a photo twice.\n\n" in audit_page(found)


def test_the_pages_that_come_with_the_cards_are_what_their_audits_say() -> None:
    pages = sorted(AUDITS.glob("*.md"))
    assert [page.stem for page in pages] == sorted(path.stem for path in AUDITS.glob("*.json")) != []
    for page in pages:
        assert page.read_text(encoding="utf-8") == audit_page(read_json(page.with_suffix(".json"))), page


def test_names_cannot_break_the_page() -> None:
    found = audited()
    found |= {"title": "A *title* | _so_", "stands_for": "For | `all`."}
    one = found["splits"]["train"]
    one["counts"]["left out"] = {"a | reason": {"count": 1, "files": ["_a_|b.jpg"]}}
    pair = found["leakage"][0]
    pair |= {"train": "_my_|set/train", "test": "_my_|set/test"}
    pair["pairs"] = [{"kind": "exact", "train": "__a__|b", "test": "<b>", "bits": 0}]
    text = audit_page(found)
    assert text.startswith("# Audit of A \\*title\\* \\| \\_so\\_\n\nFor \\| \\`all\\`.\n")
    assert "- train: 1 left out, a \\| reason: \\_a\\_\\|b.jpg\n" in text
    assert cells(text, "\\_my\\_\\|set/train")[0][:3] == ["\\_my\\_\\|set/train", "\\_my\\_\\|set/test", "1,501"]
    assert "- exact: \\_my\\_\\|set/train/\\_\\_a\\_\\_\\|b = \\_my\\_\\|set/test/\\<b> (0 of 256 bits differ)" in text
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")}
    assert widths == {12, 5, 6}


def test_a_real_world_set_says_that_it_has_no_ground_truth() -> None:
    found = audited() | {"kind": "real-world", "paper": {}, "leakage": []}
    for one in found["splits"].values():
        one["bicubic"] = None
    text = audit_section(found)
    assert "There is no ground truth: only no-reference metrics apply." in text
    for word in ("Bicubic x8", "fingerprint of the crop", "Leakage", "the paper, on"):
        assert word not in text
    assert len(cells(text, "test")) == 1
    assert "There is no ground truth" not in audit_section(audited())


def test_generated_faces_have_no_photos_to_count() -> None:
    found = audited() | {"stands_for": "", "paper": {}, "leakage": []}
    for one in found["splits"].values():
        one |= {"side": None, "counts": {"read": 1006}, "recipe": {"generator": "Made up", "psi": 0.8}}
    text = audit_section(found)
    assert cells(text, "Split") == [["Split", "Faces", "Fingerprint"]]
    assert cells(text, "train")[0] == ["train", "1,006", "`aaaaaaaaaaaa`"]
    assert text.startswith("| Split") and "Recipe" not in text and "left out" not in text
    assert cells(text, "val")[1] == ["val", "2,012", "20.123", "0.6123"]


def test_a_report_carries_the_audits_that_its_results_have(tmp_path: Path) -> None:
    rows = [row for row in rows_of_table_1() if row["method"] in ("bicubic", "msfnet-8")]
    pages = []
    for name, audits in (("without", []), ("with", [audited(), audited()])):
        results = fabricate(tmp_path / name / "results", rows=rows, images=("a",), audits=audits)
        build_report(results, tmp_path / name / "report")
        pages.append((tmp_path / name / "report" / "index.md").read_text(encoding="utf-8"))
    section = f"## Data: My faces\n\n{audit_section(audited())}\n\n"
    assert "## Data" not in pages[0]
    assert pages[1] == pages[0].replace("## Where the numbers", f"{section}{section}## Where the numbers")
