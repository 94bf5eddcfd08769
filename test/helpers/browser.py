# SPDX-License-Identifier: Apache-2.0
"""Headless Chromium, as Debian and Ubuntu install it, for tests of the web page."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ros_helpers import wait_until

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _BROWSERS)), None)
DRIVER = shutil.which("chromedriver")
_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


@contextlib.contextmanager
def open_browser(phone: bool = False) -> Iterator[Page]:
    """A browser without a page; the test is skipped, by name, where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs chromium and chromedriver (Debian: chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if phone:
        metrics = {"width": 390, "height": 844, "pixelRatio": 2.0, "touch": True}
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for argument in (*_ARGUMENTS, f"--user-data-dir={folder}", "--window-size=1280,860"):
            options.add_argument(argument)
        driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        try:
            yield Page(driver)
        finally:
            driver.quit()


class Page:
    """The web page in a browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, link: str) -> None:
        """Open the page and wait for a picture with masks."""
        self.driver.get(link)
        self.until("return document.querySelector('.view-note')?.hidden", "a picture with masks")

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript; what it returns."""
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str, what: str) -> Any:
        """Wait until JavaScript returns something true."""
        return wait_until(lambda: self.run(script), what)

    def keys(self, selector: str, *keys: str) -> None:
        """Type into an element."""
        element = self.driver.find_element("css selector", selector)
        element.send_keys(*keys)

    def click(self, selector: str) -> None:
        """Click on an element."""
        self.driver.find_element("css selector", selector).click()

    def text(self, selector: str) -> str:
        """The text that is seen of an element."""
        return str(self.run("return document.querySelector(arguments[0]).innerText", selector))

    def share_of(self, colour: tuple[int, int, int]) -> float:
        """The share of the picture's pixels that have exactly this colour."""
        return float(
            self.run(
                """
                const canvas = document.querySelector(".view canvas");
                const { width, height } = canvas;
                const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
                const [red, green, blue] = arguments[0];
                let count = 0;
                for (let i = 0; i < data.length; i += 4) {
                  count += data[i] === red && data[i + 1] === green && data[i + 2] === blue;
                }
                return 4 * count / data.length;
                """,
                list(colour),
            )
        )

    def set(self, selector: str, value: str, event: str = "input") -> None:
        """Give an input a value, as a person does with a slider or a menu."""
        self.run(
            "const input = document.querySelector(arguments[0]); input.value = arguments[1];"
            "input.dispatchEvent(new Event(arguments[2], { bubbles: true }));",
            selector,
            value,
            event,
        )  # fmt: skip

    def problems(self) -> list[str]:
        """What the browser complains of: script errors, and what the security policy blocked."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE" and "WebSocket connection" not in entry["message"]
        ]

    def pictured(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until the picture is as it should be."""
        wait_until(condition, what)
