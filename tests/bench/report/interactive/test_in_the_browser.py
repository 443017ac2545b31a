"""The page in Chromium: it opens without a network and does what its controls say, without a word in the console."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from bench.analysis.results import read_results
from bench.report.interactive.writer import browser_page, render
from tests.bench.report.interactive.browser import CHROMIUM, DRIVER, Browser
from tests.bench.report.interactive.large import ROWS, WORST, large_page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs: apt-get install chromium chromium-driver"),
]
QUICK = Path(__file__).parents[4] / "results" / "reference" / "quick"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.driver.quit()


@pytest.fixture(scope="module")
def quick(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """Open the page of the committed quick ablation."""
    page = tmp_path_factory.mktemp("quick") / "report.html"
    page.write_bytes(browser_page(read_results(QUICK)))
    assert page.stat().st_size < 2_000_000
    browser.open(page)
    return browser


def numbers(cells: list[str]) -> list[float]:
    return [float(cell.replace("−", "-")) for cell in cells if cell != "–"]  # noqa: RUF001


def test_the_leaderboard(quick: Browser) -> None:
    assert quick.first_paint() < 2
    assert len(quick.column(1)) == 11
    falling = sorted(numbers(quick.column(2)), reverse=True)
    quick.click("#table thead th:nth-child(2)")
    quick.wait(lambda: numbers(quick.column(2)) == falling)
    quick.click("#table thead th:nth-child(2)")
    quick.wait(lambda: numbers(quick.column(2)) == falling[::-1])
    quick.choose("metric", "SSIM, more is better")
    assert max(numbers(quick.column(2))) < 1
    quick.choose("metric", "PSNR, more is better")
    quick.choose("protocol", "rgb")
    under_rgb = numbers(quick.column(2))
    assert max(under_rgb) < falling[0] - 1, "RGB gives less than the Y channel"
    quick.choose("protocol", "sparnet")
    quick.choose("base", "gain over Bicubic")
    gains = dict(zip(quick.column(1), quick.column(2), strict=True))
    assert gains["Bicubic"] == "–" and gains["Model 3"].startswith("+0.")  # noqa: RUF001
    quick.run(
        "const size = document.getElementById('size'); size.value = '0.2'; "
        "size.dispatchEvent(new Event('change', {bubbles: true}))"
    )
    assert 0 < len(quick.column(1)) < 11 and all(size <= 0.2 for size in numbers(quick.column(6)))
    quick.run(
        "const size = document.getElementById('size'); size.value = ''; "
        "size.dispatchEvent(new Event('change', {bubbles: true}))"
    )
    assert quick.errors() == []


def test_a_number_says_where_it_comes_from(quick: Browser) -> None:
    quick.choose("base", "means")
    (cell, *_) = quick.find("#table tbody tr:nth-child(2) [data-tip]")
    ActionChains(quick.driver).move_to_element(cell).perform()
    tip = quick.run("return getComputedStyle(arguments[0], '::after').content", cell)
    for what in ("32 faces", "92cb77902a08", "seeds: 1", "95% interval", "commit", "-s0-", "220 iterations"):
        assert what in tip
    quick.run("document.querySelector('#table tbody tr:nth-child(3) [data-tip]').focus()")
    assert quick.run("return getComputedStyle(document.activeElement, '::after').position") == "fixed"


def test_what_is_shown_is_copied(quick: Browser) -> None:
    shown = quick.column(1)
    for kind, row in (
        ("markdown", rf"\|{shown[0]}\|[\d.]+\|"),
        ("latex", rf"{shown[0]} & [\d.]+ & "),
        ("csv", "^Row,PSNR"),
    ):
        quick.click(f"[data-copy={kind}]")
        quick.wait(lambda: quick.texts("#copied") != [""])
        text = quick.run("return document.getElementById('text').value")
        assert re.search(row, text, re.MULTILINE), text
        assert [label in text for label in shown] == [True] * 11
    assert quick.errors() == []


def test_figures_follow_the_rows_that_are_chosen(quick: Browser) -> None:
    def drawn() -> list[str]:
        return quick.run("return document.getElementById('curves-plot').data.map((trace) => trace.name)")

    assert "Model 8" in drawn()
    quick.click("input[name=row][value='Model 8']")
    assert "Model 8" not in drawn() and "Model 7" in drawn()
    quick.click("input[name=row][value='Model 8']")
    effects = quick.run(
        "return document.getElementById('effects-plot').data.map((trace) => [trace.name, trace.y.length])"
    )
    assert effects == [["measured", 7], ["published", 7]]
    assert quick.errors() == []


def test_all_parts_have_names_and_the_keyboard_reaches_them(quick: Browser) -> None:
    parts = "return [...document.querySelectorAll('select, input, textarea')].filter((own) => "
    assert quick.run(parts + "!own.labels?.length && !own.ariaLabel && own.type !== 'search')") == []
    assert quick.run("return [...document.images].filter((own) => !own.hasAttribute('alt')).length") == 0
    lost = "return [...document.querySelectorAll('[aria-labelledby]')].filter((own) => !document.getElementById("
    assert quick.run(lost + "own.getAttribute('aria-labelledby')))") == []
    before = quick.column(1)
    quick.run("document.querySelector('#table thead th:nth-child(1) [tabindex]').focus()")
    ActionChains(quick.driver).send_keys(Keys.ENTER).perform()
    quick.wait(lambda: quick.column(1) == sorted(before) != before)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_the_light_and_in_the_dark(quick: Browser, scheme: str) -> None:
    device = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    quick.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    quick.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        quick.wait(lambda: quick.run("return document.documentElement.scrollWidth") <= 360)
        colours = quick.run("const own = getComputedStyle(document.body); return [own.color, own.backgroundColor]")
        ink, paper = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
        assert (ink < paper) == (scheme == "light") and abs(ink - paper) > 500
        line = "return document.getElementById('curves-plot').data.find((own) => own.name === 'Model 1').line.color"
        quick.wait(lambda: (quick.run(line) == "#FFFFFF") == (scheme == "dark"))
    finally:
        quick.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        quick.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert quick.errors() == []


def test_a_large_page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    page = tmp_path_factory.mktemp("large") / "report.html"
    page.write_bytes(render(large_page(page.parent)))
    assert page.stat().st_size < 3_000_000
    browser.open(page)
    assert browser.first_paint() < 2
    assert len(browser.column(1)) == ROWS and len(browser.find("#set option")) == 5
    browser.click("#table thead th:nth-child(2)")
    browser.wait(lambda: browser.column(1)[0] == f"Method {ROWS - 2}")
    assert browser.column(1)[-1] == f"Method {ROWS - 1}", "what was made elsewhere stands last"
    viewer(browser)
    assert browser.errors() == []


def viewer(browser: Browser) -> None:
    """Compare two rows on faces with pictures, then look at the worst face, which has none."""
    browser.choose("a", "Method 2")
    assert browser.texts("#face") == ["face-0000 (1 of 4)"]
    browser.click("[data-step='1']")
    assert browser.texts("#face") == ["face-0001 (2 of 4)"]
    assert "A, Method 2: PSNR" in browser.texts("#facts")[0] and "No picture" not in browser.texts("#facts")[0]
    (slider,) = browser.find("img-comparison-slider")
    aside = -slider.size["width"] // 4
    ActionChains(browser.driver).move_to_element_with_offset(slider, aside, 0).click().perform()
    browser.wait(lambda: abs(slider.get_property("value") - 25) < 2)
    ActionChains(browser.driver).key_down(Keys.ARROW_RIGHT).perform()
    browser.wait(lambda: slider.get_property("value") > 30)
    ActionChains(browser.driver).key_up(Keys.ARROW_RIGHT).perform()
    browser.run(
        "const zoom = document.querySelector('[name=zoom]'); zoom.value = 4; "
        "zoom.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    scales = browser.run(
        "return [...document.querySelectorAll('#viewer img')].map((own) => getComputedStyle(own).transform)"
    )
    assert {*scales} == {"matrix(4, 0, 0, 4, 0, 0)"}, "all pictures show the same part"
    browser.click("[data-list=worst]")
    assert browser.texts("#face") == [f"{WORST} (1 of 20)"]
    assert "No picture of this face by Method 2 and Method 0" in browser.texts("#facts")[0]
    bar = browser.run(
        "const plot = document.getElementById('gains-plot'), {customdata} = plot.data[0];"
        "plot.emit('plotly_click', {points: [{customdata: customdata[0]}]}); return customdata[0].length"
    )
    assert len(browser.find("#strip button")) == min(bar, 60)
