"""Effects put into made-up scores get the right verdict, and what is missing is said."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.analysis.agreement import order_agreement
from bench.analysis.intervals import Estimate
from bench.analysis.results import Results, read_results
from bench.analysis.significance import holm
from bench.analysis.spread import Spread
from bench.core.errors import UserError
from bench.core.files import read_json
from bench.papers.judge import Finding, findings_on
from bench.papers.paper import FOLDER, Rule, load_paper, papers
from bench.papers.verdict import AS_IN, LESS, ONE_SEED, OPEN, SLIGHT, Verdict, band_of, judge, sign_probability
from bench.report.modules import factorial_page
from bench.report.tables import ablation_table
from bench.runs.records import read_run_record, write_run_record
from tests.bench.analysis.simulation import Design, difference, draw_rows, spread_of
from tests.bench.report.fabricate import (
    FACTORS,
    change,
    fabricate,
    read_score_rows,
    rows_of_table_1,
    run_name,
    write_run,
    write_score_rows,
)

CONFIRMED, SMALLER, CONTRADICTED = Verdict.CONFIRMED, Verdict.SMALLER, Verdict.CONTRADICTED
UNKNOWN, NOT_RUN = Verdict.INCONCLUSIVE, Verdict.NOT_RUN
IMAGES = tuple(f"face-{place:02}" for place in range(40))
PAPER = (0.175, 0.042, 0.132)

Psnr = Callable[[str, int, int], float]


@functools.cache
def noise(*what: int) -> float:
    return float(np.random.default_rng(what).normal())


def planted(effects: Sequence[float], own_noise: float = 0.02, over_bicubic: float = 3.2) -> Psnr:
    """Return PSNRs with the effects of ESEM, PA and FEM on every image, and what image and training add."""

    def value(method: str, seed: int, image: int) -> float:
        model = int(method[-1]) if method.startswith("msfnet") else 0
        gain = -over_bicubic if method == "bicubic" else 0.0
        gain += sum(one * has for one, has in zip(effects, FACTORS.get(model, (0, 0, 0)), strict=True))
        own = own_noise * noise(model + 20, image) + own_noise / 5 * noise(model + 20, seed, 99)
        return 26 + 1.5 * noise(image) + gain + (own if method != "bicubic" else 0)

    return value


def experiment(
    folder: Path,
    psnr: Psnr,
    seeds: Sequence[int] = (0, 1, 2),
    tests: Sequence[str] = ("helen",),
    rows: Sequence[dict[str, Any]] | None = None,
    **changes: Any,
) -> Path:
    """Write results of many images, but pictures of one alone, for they take long."""
    rows = rows_of_table_1() if rows is None else rows
    fabricate(
        folder, images=IMAGES[:1], seeds=seeds, tests=tests, rows=rows, psnr=psnr, **{"profile": "cpu", **changes}
    )
    for row in rows:
        for seed in (0,) if row["method"] == "bicubic" else seeds:
            write_run(folder, row["method"], seed, IMAGES, tests, psnr)
    described = read_json(folder / "experiment.json")["test"]
    change(folder / "experiment.json", test=[{**one, "faces": len(IMAGES)} for one in described])
    return folder


def found_in(results: Results, test: int = 0) -> dict[str, Finding]:
    return {one.text: one for one in findings_on(results, results.test[test], papers())}


def findings(folder: Path, psnr: Psnr, **how: Any) -> dict[str, Finding]:
    return found_in(read_results(experiment(folder, psnr, **how)))


def interval_of(finding: Finding) -> tuple[float, float]:
    assert finding.estimate is not None
    return finding.estimate.low, finding.estimate.high


def mean_of(finding: Finding) -> float:
    assert finding.estimate is not None
    return finding.estimate.mean


def paper_of(finding: Finding) -> tuple[float, str] | None:
    """Return the paper's value and its data set."""
    number = finding.published
    return (round(number.value, 4), number.dataset) if number else None


def counts(finding: Finding) -> list[tuple[str, int, int]]:
    return [(row.label, row.scored, row.planned) for row in finding.rows]


def test_what_the_paper_says_holds_where_it_was_put_in(tmp_path: Path) -> None:
    found = findings(tmp_path, planted(PAPER))
    for name, effect in zip(("ESEM", "PA", "FEM"), PAPER, strict=True):
        one = found[f"Main effect of {name}"]
        assert (one.verdict, one.remarks, paper_of(one)) == (CONFIRMED, (), (pytest.approx(effect, abs=5e-4), "helen"))
        low, high = interval_of(one)
        assert low < effect < high and high - low < 0.05
        assert (len(one.rows), sum(row.scored for row in one.rows)) == (8, 24)
    assert found["Model 8 over Model 1"].verdict == found["Model 8 over SPARNet"].verdict == CONFIRMED
    assert paper_of(found["Model 8 over SPARNet"]) == (0.343, "helen")
    assert found["Interaction ESEM x FEM under 0.02 dB"].verdict == CONFIRMED
    assert found["Every row better than Bicubic, PSNR"].verdict == CONFIRMED
    order = found["Order of Models 1-8, rank correlation"]
    assert order.verdict == CONFIRMED and mean_of(order) > 0.9


def test_other_effects_get_other_verdicts(tmp_path: Path) -> None:
    found = findings(tmp_path, planted((-0.2, 0.5, 0.0), over_bicubic=0.05))
    esem, pa, fem = (found[f"Main effect of {name}"] for name in ("ESEM", "PA", "FEM"))
    assert (esem.verdict, esem.remarks) == (CONTRADICTED, ())
    assert interval_of(esem)[1] < 0
    assert (pa.verdict, pa.remarks) == (Verdict.LARGER, ())
    assert (fem.verdict, fem.remarks) == (UNKNOWN, (LESS,))
    over = found["SPARNet over Bicubic"]
    assert (over.verdict, over.remarks) == (SMALLER, ())
    below = found["Every row better than Bicubic, PSNR"]
    assert (below.verdict, below.remarks) == (CONTRADICTED, ("worse: Model 4, Model 6",))
    assert below.label in ("Model 4", "Model 6") and mean_of(below) == pytest.approx(-0.15, abs=0.05)
    assert found["Order of Models 1-8, rank correlation"].verdict in (UNKNOWN, CONTRADICTED)


def test_an_interaction_is_small_or_not(tmp_path: Path) -> None:
    def psnr(method: str, seed: int, image: int) -> float:
        both = method in ("msfnet-5", "msfnet-8")
        return planted(PAPER)(method, seed, image) + 0.4 * both

    found = findings(tmp_path, psnr)
    assert found["Interaction ESEM x PA under 0.02 dB"].verdict == CONTRADICTED
    assert mean_of(found["Interaction ESEM x PA under 0.02 dB"]) == pytest.approx(0.2, abs=0.01)
    assert found["Interaction PA x FEM under 0.02 dB"].verdict == CONFIRMED


def test_noise_is_no_finding(tmp_path: Path) -> None:
    """Trainings that differ by 0.4 dB: effects of 0.1 dB cannot be told, nor two trainings of one network."""
    found = findings(tmp_path, planted(PAPER, own_noise=2.0))
    assert {found[f"Main effect of {name}"].verdict for name in ("ESEM", "PA", "FEM")} == {UNKNOWN}
    assert found["No difference: Model 1 less SPARNet, the same network"].verdict == UNKNOWN
    assert found["Interaction ESEM x PA under 0.02 dB"].verdict == UNKNOWN


def test_one_training_tells_of_itself_alone(tmp_path: Path) -> None:
    found = findings(tmp_path, planted(PAPER), seeds=(0,))
    told = [one for one in found.values() if one.verdict != NOT_RUN]
    assert len(told) > 10 and all(one.remarks[-1] == ONE_SEED for one in told)


def test_size_has_a_row_of_its_own(tmp_path: Path) -> None:
    rows = rows_of_table_1()
    rows.insert(2, {"label": "SPARNet-wide", "method": "sparnet", "match": "msfnet-8"})
    assert not [text for text in findings(tmp_path / "one", planted(PAPER), rows=rows) if "multiply-adds" in text]
    rows.insert(2, {**rows[2], "label": "SPARNet-wider", "match_by": "multiply-adds"})
    found = findings(tmp_path / "both", planted(PAPER), rows=rows)
    for size, label in (("parameters", "SPARNet-wide"), ("multiply-adds", "SPARNet-wider")):
        wide = found[f"Model 8 over SPARNet of as many {size}"]
        assert (wide.verdict, wide.published, wide.rows[1].label) == (CONFIRMED, None, label)
        assert interval_of(wide)[0] > 0.3, "the made-up wide row has SPARNet's scores"
        alone = found[f"Size alone: SPARNet of Model 8's {size} over SPARNet"]
        assert (alone.verdict, alone.published, alone.rows[0].label) == (UNKNOWN, None, label)


def as_run_of(folder: Path, method: str) -> str:
    """Copy a run's folder as one of another method, trained in batches of 2; return its name."""
    record = read_run_record(folder)
    assert record is not None and record.config.training is not None
    training = dataclasses.replace(record.config.training, batch=2)
    config = dataclasses.replace(record.config, method=method, training=training)
    shutil.copytree(folder, folder.parent / config.name)
    write_run_record(
        folder.parent / config.name, dataclasses.replace(record, id=config.id, name=config.name, config=config)
    )
    return config.name


def with_turned_row(folder: Path, psnr: Psnr, **how: Any) -> Path:
    """Write an experiment in which Model 8 is trained otherwise too, with Model 6's scores."""
    experiment(folder, psnr, **how)
    rows = {row["label"]: row for row in read_json(folder / "experiment.json")["rows"]}
    runs = [as_run_of(folder / name, "msfnet-8") for name in rows["Model 6"]["runs"]]
    turned = {
        **rows["Model 6"],
        "label": "Model 8, turned",
        "method": "msfnet-8",
        "training": {"batch": 2},
        "runs": runs,
    }
    kept = [rows[label] for label in ("Bicubic", "Model 1", "Model 8")]
    change(folder / "experiment.json", rows=[*kept, turned])
    return folder


def test_rows_that_change_a_setting_are_held_against_the_plain_row(tmp_path: Path) -> None:
    folder = with_turned_row(tmp_path, planted(PAPER))
    found = found_in(read_results(folder))
    one = found["Model 8, turned: gain over Model 8"]
    assert (one.verdict, one.published) == (Verdict.LOWER, None)
    assert counts(one) == [("Model 8, turned", 3, 3), ("Model 8", 3, 3)]
    low, high = interval_of(one)
    assert low < -0.042 < high, "the turned row has Model 6's scores, which lack PA"
    assert counts(found["Every row better than Bicubic, PSNR"]) == [("rows", 2, 2)]
    assert counts(found["Model 8 over Model 1"]) == [("Model 8", 3, 3), ("Model 1", 3, 3)]
    assert list(found) == [
        "Model 8, turned: gain over Model 8",
        "Model 8 over Model 1",
        "Every row better than Bicubic, PSNR",
        "Every row better than Bicubic, SSIM",
    ], "claims about rows that the experiment does not have are left out"
    table = ablation_table(read_results(folder))
    place = [column.key for column in table.columns].index("published_psnr")
    assert [row.cells[place].value is None for row in table.rows] == [False, False, False, True]


def test_a_changed_row_below_bicubic_says_so_itself(tmp_path: Path) -> None:
    found = found_in(read_results(with_turned_row(tmp_path, planted((-0.2, 0.5, 0.0), over_bicubic=0.05))))
    assert found["Model 8, turned: gain over Model 8"].remarks == ("worse than Bicubic",)
    assert found["Every row better than Bicubic, PSNR"].verdict == CONFIRMED


def test_rows_of_one_training_vary_as_those_of_an_experiment_alike(tmp_path: Path) -> None:
    effects = (0.175, 0.003, 0.132)  # PA's is less than what two trainings differ by
    one = read_results(with_turned_row(tmp_path / "one", planted(effects), seeds=(0,)))
    several = read_results(experiment(tmp_path / "several", planted(effects)))
    here = found_in(one)["Model 8, turned: gain over Model 8"]
    wide = found_in(dataclasses.replace(one, kin=(several,)))[here.text]
    assert (here.verdict, here.remarks) == (UNKNOWN, (ONE_SEED,))
    assert (wide.verdict, wide.remarks) == (UNKNOWN, (f"{AS_IN} several",))
    (low, high), (lowest, highest) = interval_of(here), interval_of(wide)
    assert lowest < low and high < highest, "wider"


def test_what_is_not_trained_is_not_run_yet(tmp_path: Path) -> None:
    folder = experiment(tmp_path, planted(PAPER))
    for seed in (0, 1, 2):
        shutil.rmtree(folder / run_name("msfnet-8", seed))
    shutil.rmtree(folder / run_name("sparnet", 1))
    found = found_in(read_results(folder))
    ours = found["Model 8 over SPARNet"]
    assert (ours.verdict, ours.estimate, counts(ours)) == (NOT_RUN, None, [("Model 8", 0, 3), ("SPARNet", 2, 3)])
    assert found["Main effect of PA"].verdict == NOT_RUN
    assert sum(row.scored for row in found["Main effect of PA"].rows) == 21
    assert found["Order of Models 1-8, rank correlation"].verdict == NOT_RUN
    assert found["No difference: Model 1 less SPARNet, the same network"].verdict == CONFIRMED
    above = found["Every row better than Bicubic, PSNR"]
    assert (above.verdict, above.remarks, counts(above)) == (CONFIRMED, ("so far: 8 of 9 rows",), [("rows", 8, 9)])


def test_sets_that_the_paper_has_no_number_for_take_helens(tmp_path: Path) -> None:
    results = read_results(experiment(tmp_path, planted(PAPER), tests=("celeba", "mine")))
    celeba, mine = found_in(results, 0), found_in(results, 1)
    assert paper_of(celeba["Model 8 over SPARNet"]) == (0.282, "celeba")
    assert paper_of(mine["Model 8 over SPARNet"]) == (0.343, "helen")
    assert paper_of(celeba["Main effect of ESEM"]) == (pytest.approx(0.175, abs=5e-4), "helen")


def test_edges_and_structure_are_judged_where_they_are_scored(tmp_path: Path) -> None:
    """Two rows have them, as where weights were kept of two: what rests on others is not scored."""
    made = {"edge-psnr": 1.0, "edge-fom": 0.01, "landmarks-detected": -0.1, "identity-distance-detected": 0.01}
    folder = experiment(tmp_path, planted(PAPER), metrics=["psnr", *made])
    for method, seed in itertools.product(("sparnet", "msfnet-8"), (0, 1, 2)):
        rows = [row for row in read_score_rows(folder / run_name(method, seed)) if row["metric"] == "psnr"]
        more = [
            {**row, "metric": metric, "value": 9 + by * row["value"]} for metric, by in made.items() for row in rows
        ]
        write_score_rows(folder / run_name(method, seed), rows + more)
    found = found_in(read_results(folder))
    for title in ("Edge PSNR", "Edge FOM"):
        assert found[f"Clearer edges, Model 8 over SPARNet: {title}"].verdict == CONFIRMED
        effect = found[f"Clearer contours by ESEM, main effect: {title}"]
        assert (effect.verdict, str(effect.verdict), effect.estimate) == (NOT_RUN, "not scored yet", None)
    assert found["Structure, Model 8 below SPARNet: Landmark error"].verdict == CONFIRMED, "less is better"
    assert found["Structure, Model 8 below SPARNet: Identity distance"].verdict == CONTRADICTED


def real_world(folder: Path, psnr: Psnr, dataset: str = "widerface") -> Path:
    """Turn made-up PSNRs into NIQE on a set without a truth: 50 less the PSNR."""
    experiment(folder, psnr, tests=(dataset,), metrics=["psnr", "ssim", "niqe-pooled"])
    for path in folder.glob("*-s*"):
        kept = [row for row in read_score_rows(path) if row["metric"] == "psnr"]
        write_score_rows(path, [{**row, "metric": "niqe-pooled", "value": 50 - float(row["value"])} for row in kept])
    test = read_json(folder / "experiment.json")["test"]
    change(folder / "experiment.json", test=[{**test[0], "truth": False}])
    return folder


def test_effects_on_faces_without_a_truth_have_no_published_psnr_beside_them(tmp_path: Path) -> None:
    page = factorial_page(read_results(real_world(tmp_path, planted(PAPER))))
    assert page is not None and [column.key for column in page.tables[0].columns] == ["effect", "niqe-pooled"]


def test_the_order_by_niqe(tmp_path: Path) -> None:
    found = found_in(read_results(real_world(tmp_path / "same", planted(PAPER))))
    ours = found["Model 8 below SPARNet, NIQE (pooled)"]
    assert (ours.verdict, paper_of(ours)) == (CONFIRMED, (-0.3566, "widerface"))
    assert interval_of(ours)[1] < 0
    other = found_in(read_results(real_world(tmp_path / "other", planted((-0.5, 0, 0)))))
    assert other["Model 8 below SPARNet, NIQE (pooled)"].verdict == CONTRADICTED
    assert other["SPARNet below Bicubic, NIQE (pooled)"].verdict == CONFIRMED
    assert other["Every row better than Bicubic, NIQE (pooled)"].verdict == CONFIRMED
    assert not any("stand-in" in remark for finding in found.values() for remark in finding.remarks)


def test_what_is_found_on_a_stand_in_says_so(tmp_path: Path) -> None:
    found = found_in(read_results(real_world(tmp_path / "crowd", planted(PAPER), "crowd")))
    ours = found["Model 8 below SPARNet, NIQE (pooled)"]
    assert (ours.verdict, paper_of(ours)) == (CONFIRMED, (-0.3566, "widerface"))
    for text in ("Model 8 below SPARNet", "SPARNet below Bicubic", "Every row better than Bicubic"):
        assert "stand-in for WiderFace" in found[f"{text}, NIQE (pooled)"].remarks


def test_no_value_is_held_against_a_stand_in(tmp_path: Path) -> None:
    """The paper's gain on its own set, 0.282 dB, is not held against faces that only stand in for it: its sign is."""
    results = read_results(experiment(tmp_path, planted((0.6, 0, 0)), tests=("celeba", "mine")))
    (paper,) = (paper for paper in papers() if paper.reference == "helen" and "celeba" in paper.datasets)
    stand_in = dataclasses.replace(paper, stand_ins={"mine": "celeba"})
    celeba, mine = (
        {one.text: one for one in findings_on(results, test, [stand_in])}["Model 8 over SPARNet"]
        for test in results.test
    )
    assert (celeba.verdict, celeba.remarks) == (Verdict.LARGER, ())
    assert (mine.verdict, mine.remarks[:1], paper_of(mine)) == (CONFIRMED, ("stand-in for CelebA",), (0.282, "celeba"))


@pytest.mark.parametrize(
    ("interval", "rule", "value", "verdict"),
    [
        ((0.16, 0.24), "value", 0.2, (CONFIRMED, "")),
        ((0.151, 0.19), "value", 0.2, (CONFIRMED, "")),  # within the margin, though the value is not in it
        ((-0.24, -0.16), "value", -0.2, (CONFIRMED, "")),
        ((0.1, 0.15), "value", 0.2, (SMALLER, "")),
        ((0.1, 0.19), "value", 0.2, (SMALLER, "")),
        ((-0.15, -0.1), "value", -0.2, (SMALLER, "")),
        ((0.21, 0.3), "value", 0.2, (Verdict.LARGER, "")),
        ((-0.3, -0.21), "value", -0.2, (Verdict.LARGER, "")),
        ((0.1, 0.3), "value", 0.2, (UNKNOWN, OPEN)),  # noise: it holds the value, and much else
        ((0.16, 0.3), "value", 0.2, (UNKNOWN, OPEN)),
        ((-0.3, -0.1), "value", 0.2, (CONTRADICTED, "")),
        ((-0.1, 0.3), "value", 0.2, (UNKNOWN, "")),
        ((-0.1, 0.1), "value", 0.2, (UNKNOWN, LESS)),
        ((-0.005, 0.08), "value", 0.04, (UNKNOWN, "")),  # within the margin, which holds 0: no sign
        ((0.005, 0.08), "value", 0.04, (CONFIRMED, "")),
        ((0.0, 0.1), "sign", 0.2, (UNKNOWN, "")),
        ((0.1, 0.15), "sign", 0.2, (CONFIRMED, "")),
        ((0.1, 9.0), "sign", 0.2, (CONFIRMED, "")),
        ((0.1, 0.15), "sign", -1.0, (CONTRADICTED, "")),
        ((-0.04, 0.05), "none", -0.012, (CONFIRMED, "")),
        ((0.01, 0.03), "none", -0.012, (CONFIRMED, "")),  # a difference, too small to matter
        ((-0.04, 0.06), "none", -0.012, (UNKNOWN, "")),
        ((-9.0, 9.0), "none", -0.012, (UNKNOWN, "")),
        ((0.01, 0.06), "none", -0.012, (UNKNOWN, SLIGHT)),
        ((0.06, 0.09), "none", -0.012, (CONTRADICTED, "")),
        ((-0.09, -0.06), "small", 0.01, (CONTRADICTED, "")),
        ((0.01, 0.03), "asked", 1.0, (Verdict.HIGHER, "")),
        ((-0.02, -0.01), "asked", 1.0, (Verdict.LOWER, "")),
        ((-0.02, 0.01), "asked", 1.0, (UNKNOWN, "")),
        (None, "value", 0.2, (UNKNOWN, "")),
        (None, "none", 0.2, (UNKNOWN, "")),
    ],
)
def test_the_rule(interval: tuple[float, float] | None, rule: Rule, value: float, verdict: tuple[str, str]) -> None:
    low, high = interval or (math.nan, math.nan)
    assert judge(Estimate(0.0, low, high, 40, 3, 0), rule, value, 0.05) == verdict


def test_what_is_confirmed_is_never_noise() -> None:
    """Every interval has one verdict; those that confirm a value or no difference are no wider than the margin."""
    ends = np.linspace(-0.4, 0.8, 61)
    seen = set[Verdict]()
    for low, high in itertools.combinations(ends, 2):
        for rule, value in (("value", 0.2), ("none", 0.0), ("small", 0.0)):
            verdict, _ = judge(Estimate(0.0, low, high, 40, 3, 0), rule, value, 0.05)  # type: ignore[arg-type]
            seen.add(verdict)
            band = band_of(rule, value, 0.05)  # type: ignore[arg-type]
            assert band is not None and (verdict == CONFIRMED) == (band[0] <= low and high <= band[1])
            assert verdict != CONFIRMED or high - low <= 0.1 + 1e-9
            if verdict in (SMALLER, Verdict.LARGER):
                assert low > 0 and not low <= value <= high
            if verdict == CONTRADICTED:
                assert high < 0 if rule == "value" else low > 0.05 or high < -0.05
    assert seen == {CONFIRMED, SMALLER, Verdict.LARGER, CONTRADICTED, UNKNOWN}


def test_the_probability_of_a_sign_agrees_with_the_interval(tmp_path: Path) -> None:
    results = read_results(experiment(tmp_path, planted((0.03, 0.005, -0.02), own_noise=0.1)))
    found = [one for one in findings_on(results, results.test[0], papers()) if one.probability is not None]
    sides = {True: 0, False: 0}
    for one in found:
        (low, high), chance = interval_of(one), one.probability
        sign = one.published.value if one.published else 1.0
        low, high = (low, high) if sign > 0 else (-high, -low)
        assert chance is not None and (chance > 0.975) == (low > 0) and (chance < 0.025) == (high < 0)
        sides[low > 0] += 1
    assert min(sides.values()) >= 2
    esem = next(one for one in found if one.text == "Main effect of ESEM")
    assert esem.estimate is not None and esem.probability == esem.estimate.above
    none = {one.text for one in findings_on(results, results.test[0], papers()) if one.probability is None}
    assert "No difference: Model 1 less SPARNet, the same network" in none, "it claims no sign"
    alone = dataclasses.replace(esem.estimate, covers_training=False)
    assert sign_probability(alone, "value", 0.2) is None


def test_a_margin_is_the_claims_own_or_the_metrics(tmp_path: Path) -> None:
    (yang,) = (paper for paper in papers() if paper.reference == "helen" and "celeba" in paper.datasets)
    known = {claim.text: claim.tolerance for claim in yang.claims}
    assert known["Model 8 over Model 1"] == 0.05 and known["Model 8 over SPARNet, SSIM"] == 0.002
    assert (
        known["Interaction ESEM x PA under 0.02 dB"] == 0.02 and known["Order of Models 1-8, rank correlation"] == 0.1
    )
    text = (FOLDER / "yang2023.toml").read_text(encoding="utf-8")
    for old, new, error in (
        ('rule = "none"', 'rule = "none"\nmargin = -1', "margin"),
        ('metric = "edge"\nrule = "sign"', 'metric = "edge"\nrule = "value"', "needs margin = NUMBER above 0"),
        ('rule = "small"\nvalue = 0.02', 'rule = "small"', "needs value = NUMBER above 0"),
    ):
        assert old in text
        (tmp_path / "mine.toml").write_text(text.replace(old, new, 1))
        with pytest.raises(UserError, match=error):
            load_paper(tmp_path / "mine.toml")


def pairs_of(rows: Sequence[np.ndarray], spread: Spread | None) -> dict[tuple[int, int], Estimate]:
    return {(a, b): difference(rows, a, b, spread) for a, b in itertools.combinations(range(len(rows)), 2)}


def agree(rows: Sequence[np.ndarray], reference: Sequence[float]) -> Estimate:
    return order_agreement([float(row.mean()) for row in rows], pairs_of(rows, spread_of(rows)), reference)


def test_agreement_of_orders() -> None:
    reference = [float(place) for place in range(8)]
    images = np.random.default_rng(1).normal(size=50)
    clear = [np.stack([images + place, images + place + 0.01]) for place in reference]
    same = agree(clear, reference)
    assert (same.mean, same.low, same.high, same.n, same.seeds) == (1.0, 1.0, 1.0, 50, 2)
    assert agree(clear[::-1], reference).high == -1.0
    random = np.random.default_rng(2)
    unclear = agree([random.normal(size=(3, 50)) for _ in reference], reference)
    assert (unclear.low, unclear.high) == (-1.0, 1.0), "no two rows differ: any order may be the true one"
    assert agree([np.ones((2, 4))] * 3, [1, 2, 3]).mean == 0
    lost = agree([np.array([[math.nan, 1.0, 2.0]])] * 3, [1, 2, 3])
    assert math.isnan(lost.mean) and math.isnan(lost.low)
    with pytest.raises(UserError, match="an order takes three"):
        agree(clear[:2], reference[:2])


def test_the_ends_of_an_agreement_are_those_of_all_orders_that_remain() -> None:
    """Held against counting all orders, where some pairs are certain."""
    draw = np.random.default_rng(3)
    for _ in range(20):
        rows = [draw.normal(place / 4, 1, (3, 40)) + draw.normal(0, 0.1, (3, 1)) for place in range(5)]
        reference = [float(one) for one in draw.integers(0, 4, 5)]
        if len({*reference}) == 1:
            continue
        pairs = pairs_of(rows, spread_of(rows))
        corrected = dict(zip(pairs, holm([one.p for one in pairs.values()]), strict=True))
        values = []
        for order in itertools.permutations(range(5)):  # order[row] is the row's rank
            kept = [(order[a] > order[b]) == (pairs[a, b].mean > 0) for a, b in pairs if corrected[a, b] < 0.05]
            values += [stats.spearmanr(order, reference)[0]] if all(kept) else []
        found = agree(rows, reference)
        assert (found.low, found.high) == pytest.approx((min(values), max(values)))


def test_rows_of_one_seed_do_not_pretend_to_cover_seeds() -> None:
    """Eight rows of one seed whose seeds vary as two others do: their order is as open as that says."""
    draw = np.random.default_rng(4)
    images, reference = draw.normal(size=60), [float(place) for place in range(8)]
    single = [(images + 0.1 * place + draw.normal(0, 0.02, 60))[None] for place in reference]
    wide = Spread(np.array([0.3**2]), np.array([20.0]), np.ones(1), {}, 0.3, 20)
    means = [float(row.mean()) for row in single]
    alone = order_agreement(means, pairs_of(single, None), reference)
    covering = order_agreement(means, pairs_of(single, wide), reference)
    assert alone.low > 0.9 and not alone.covers_training
    assert covering.low < 0.3 and covering.covers_training


def test_agreements_hold_the_true_correlation() -> None:
    """Of 100 drawn experiments in which rows lie apart by as much as one seed varies."""
    draw, hits = np.random.default_rng(5), 0
    truth, reference = [0, 3, 1, 2, 5, 4], [float(place) for place in range(6)]
    for _ in range(100):
        rows = [one + place for one, place in zip(draw_rows(Design((1, 2, 3, 3, 2, 3), 1.0), draw), truth, strict=True)]
        found = agree(rows, reference)
        hits += found.low <= stats.spearmanr(truth, reference)[0] <= found.high
    assert hits >= 95
