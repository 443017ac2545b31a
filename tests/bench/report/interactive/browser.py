"""A real browser without a window, and what the tests ask of it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # Chromium refuses to run as root with it
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)


class Browser:
    """Chromium on one page."""

    def __init__(self, profile: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))

    def open(self, page: Path) -> None:
        """Open a page and wait for its script."""
        self.driver.get(page.as_uri())
        self.wait(lambda: self.run("return document.documentElement.dataset.ready") == "yes", 60)

    def run(self, script: str, *given: Any) -> Any:
        return self.driver.execute_script(script, *given)

    def wait(self, true: Callable[[], object], seconds: float = 20) -> None:
        until = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < until, self.errors()
            time.sleep(0.02)

    def errors(self) -> list[str]:
        """Return what the page has written to the console since it was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def first_paint(self) -> float:
        """Return the seconds until something was seen."""
        entries = self.run("return performance.getEntriesByType('paint').map((entry) => entry.startTime)")
        return max(entries) / 1000

    def find(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def click(self, selector: str) -> None:
        """Click as a hand does: where the element is seen."""
        (element, *_) = self.find(selector)
        self.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
        element.click()

    def choose(self, name: str, words: str) -> None:
        Select(self.find(f"#{name}")[0]).select_by_visible_text(words)

    def texts(self, selector: str) -> list[str]:
        return self.run("return [...document.querySelectorAll(arguments[0])].map((own) => own.textContent)", selector)

    def column(self, place: int) -> list[str]:
        """Return the leaderboard's cells of a column, from the top."""
        return self.texts(f"#table tbody td:nth-child({place})")
