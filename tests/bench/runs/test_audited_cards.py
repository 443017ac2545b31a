"""Cards of photographs beside what papers print, recipes and manifests."""

from __future__ import annotations

import pytest

from bench.data.cards import card_names, manifest_paths, read_card
from bench.data.manifest import read_manifest
from bench.data.photoset import PhotoOptions, _recipe
from bench.papers.paper import paper_of


def test_the_papers_row_of_each_card_is_what_it_prints() -> None:
    for name in ("celeba", "helen", "lfw"):
        for metric in ("psnr", "ssim"):
            printed = paper_of(["bicubic"]).find("bicubic", metric, name, ["Table 2"])
            assert printed is not None and getattr(read_card(name).bicubic, f"paper_{metric}") == printed.value


@pytest.mark.parametrize("name", sorted({*card_names(), "folder"} - {"synthfaces"}))
def test_every_card_of_photos_can_be_used(name: str) -> None:
    card = read_card(name)
    recipe = _recipe(card, PhotoOptions([]))
    assert {key: getattr(recipe, key) for key in card.recipe} == dict(card.recipe)
    assert recipe.size == (16 if card.kind == "real-world" else 128)
    for detector, margin in card.margins.items():
        assert _recipe(card, PhotoOptions([], detector=detector)).margin == margin


def test_the_manifests_beside_the_cards_are_their_recipes() -> None:
    known = [name for name in card_names() if manifest_paths(name)]
    assert known == ["aaf-16", "celeba", "crowd", "helen", "lfw"]
    for name in known:
        recipe = _recipe(read_card(name), PhotoOptions([]))
        for split, path in manifest_paths(name).items():
            assert split in ("train", "val", "test")
            assert {row.detector for row in read_manifest(path) if not row.problem} == {recipe.detection}
