"""Papers as data: what the files say, which mistakes in one are found, and that a further one takes no code."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.papers.paper import FOLDER, NO_PAPER, Paper, load_paper, paper_of, papers

YANG = FOLDER / "yang2023.toml"
TABLES = ("Table 1", "Table 2", "Table 3")


def value(method: str, metric: str, dataset: str, *tables: str) -> float:
    found = load_paper(YANG).find(method, metric, dataset, tables or TABLES)
    assert found is not None
    return found.value


def test_it_says_what_the_paper_prints() -> None:
    gain = value("msfnet-8", "psnr", "helen") - value("msfnet-1", "psnr", "helen")
    assert gain == pytest.approx(0.355, abs=1e-9)  # paper, section 4.3
    for rival, gain in (("sparnet", 0.343), ("dic", 0.954), ("kdfsrnet", 1.229)):  # section 4.4; 1.1229 is a misprint
        more = value("msfnet-8", "psnr", "helen", "Table 2") - value(rival, "psnr", "helen")
        assert more == pytest.approx(gain, abs=1e-9)
    assert (value("bicubic", "psnr", "helen"), value("bicubic", "ssim", "helen")) == (24.138, 0.681)
    assert value("msfnet-8", "niqe", "webface") == value("msfnet", "niqe", "webface") == 11.8835
    assert value("msfnet-8", "psnr", "helen", "Table 1") == value("msfnet-8", "psnr", "helen", "Table 2") == 27.744
    paper = load_paper(YANG)
    assert paper.find("msfnet-7", "psnr", "helen", ["Table 2"]) is None
    counts = [sum(map(len, (v for m in paper.table(t).numbers.values() for v in m.values()))) for t in TABLES]
    assert counts == [16, 40, 8]
    assert paper.find("kdfsrnet", "psnr", "lfw", TABLES) is None
    assert {"same-network", "best-pair"} <= {erratum.id for erratum in paper.errata_of(["Table 1"])}


def test_each_experiment_has_the_paper_that_prints_most_of_its_methods() -> None:
    assert [paper.name for paper in papers()] == [
        "Chen et al. 2021",
        "CTCNet's authors",
        "WFEN's authors",
        "Yang et al. 2023",
    ]
    assert paper_of(["bicubic", "dic", "ctcnet", "wfen", "sparnet", "msfnet"]).name == "Yang et al. 2023"
    assert paper_of(["bicubic", "msfnet-1", "msfnet-8"]).name == "Yang et al. 2023"
    assert paper_of(["sparnet-light"]).name == "Chen et al. 2021"
    assert paper_of(["mine"]) is NO_PAPER


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: str(path.stem))
def test_every_paper_is_whole(path: Path) -> None:
    paper: Paper = load_paper(path)
    assert paper.tables and paper.url.startswith("https://")
    assert len({erratum.id for erratum in paper.errata}) == len(paper.errata)
    for claim in paper.claims:  # a claim names what its kind takes
        assert (claim.row is not None) == (claim.kind == "difference")
        assert (claim.against is not None) == (claim.kind in ("difference", "every", "changed"))
        assert bool(claim.effect) == (claim.kind == "effect") and bool(claim.methods) == (claim.kind == "order")


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("[tables.numbers.helen]", "[tables.numbers.hellen]", "Table 1: numbers: .*did you mean 'helen'"),
        ("ssim = { msfnet-1", "sim = { msfnet-1", "Table 1: helen: unknown name 'sim': did you mean 'ssim'"),
        ('tables = ["Table 1"]', 'tables = ["Table 9"]', "tables: unknown name 'Table 9'"),
        ("msfnet-1 = 27.389", 'msfnet-1 = "27.389"', "numbers.*expected"),
        ("headline = true", "headlin = true", r"claims\[0\]: unknown key 'headlin': did you mean 'headline'"),
        ('rule = "small"', 'rule = "smal"', r"claims\[3\]: rule: 'smal' given, expected one of 'value'"),
        ("decimals = {", "# {", "key 'decimals' is missing"),
        ("[[tables]]", "[[tables]", "not valid TOML"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, right: str, wrong: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    text = YANG.read_text(encoding="utf-8")
    assert right in text
    path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    with pytest.raises(UserError, match=message) as error:
        load_paper(path)
    assert str(error.value).startswith(str(path))


def test_errata_are_those_of_the_methods_that_stand_beside_them() -> None:
    paper = load_paper(YANG)
    ids = {erratum.id for erratum in paper.errata_of(["Table 1", "Table 2"], ["sparnet", "dic"])}
    assert {"lfw-gains", "protocol"} <= ids and not {"kdfsrnet-gain", "two-modules"} & ids
    assert "Model 8 stands beside the paper's own network." not in paper.notes(paper.beside["table2"], ["sparnet"])
    assert "Model 8 stands beside the paper's own network." in paper.notes(paper.beside["table2"], ["msfnet-8"])
