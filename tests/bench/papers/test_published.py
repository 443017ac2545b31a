"""The ledger of published numbers: what it says, and which mistakes in it are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.papers.published import LEDGER, load_ledger


def value(method: str, metric: str, dataset: str, table: str) -> float:
    found = load_ledger().find(method, metric, dataset, [table])
    assert found is not None
    return found.value


def test_it_says_what_the_paper_prints() -> None:
    gain = value("msfnet-8", "psnr", "helen", "Table 1") - value("msfnet-1", "psnr", "helen", "Table 1")
    assert gain == pytest.approx(0.355, abs=1e-9)  # paper, section 4.3
    for rival, gain in (("sparnet", 0.343), ("dic", 0.954), ("kdfsrnet", 1.229)):  # section 4.4; 1.1229 is a misprint
        more = value("msfnet", "psnr", "helen", "Table 2") - value(rival, "psnr", "helen", "Table 2")
        assert more == pytest.approx(gain, abs=1e-9)
    assert (value("bicubic", "psnr", "helen", "Table 2"), value("bicubic", "ssim", "helen", "Table 2")) == (
        24.138,
        0.681,
    )
    assert value("msfnet", "niqe", "webface", "Table 3") == 11.8835
    ledger = load_ledger()
    assert [len(ledger.table(f"Table {n}").numbers) for n in (1, 2, 3)] == [16, 40, 8]
    assert ledger.find("kdfsrnet", "psnr", "lfw", ["Table 2"]) is None
    first = ledger.find("sparnet", "psnr", "helen", ["Table 1", "SPARNet README", "Table 2"])
    assert first is not None and (first.value, first.decimals, first.table) == (27.43, 2, "SPARNet README")


def test_every_table_has_known_faults() -> None:
    ledger = load_ledger()
    assert len({erratum.id for erratum in ledger.errata}) == len(ledger.errata)
    assert {"same-network", "best-pair"} <= {erratum.id for erratum in ledger.errata_of("Table 1")}
    assert ledger.source("Table 1").url == "https://doi.org/10.3390/app13158928"
    with pytest.raises(UserError, match="no published table 'Tabel 1': did you mean 'Table 1'"):
        ledger.table("Tabel 1")


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ('source = "paper"', 'source = "papre"', "Table 1: source: unknown name 'papre': did you mean 'paper'"),
        ('dataset = "helen"', 'dataset = "hellen"', "Table 1: msfnet-1: dataset: .*did you mean 'helen'"),
        ('metric = "ssim"', 'metric = "sim"', "Table 1: msfnet-1: metric: unknown name 'sim': did you mean 'ssim'"),
        ('tables = ["Table 1"]', 'tables = ["Table 9"]', "erratum two-modules: table: unknown name 'Table 9'"),
        ("value = 27.389", 'value = "27.389"', "tables.*numbers.*value: '27.389' given, expected a number"),
        ("value = 27.389", "vaule = 27.389", "unknown key 'vaule': did you mean 'value'"),
        ("decimals = {", "# {", "key 'decimals' is missing"),
        ("[[tables]]", "[[tables]", "not valid TOML"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, right: str, wrong: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    text = LEDGER.read_text(encoding="utf-8")
    assert right in text
    path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    with pytest.raises(UserError, match=message) as error:
        load_ledger(path)
    assert str(error.value).startswith(str(path))
