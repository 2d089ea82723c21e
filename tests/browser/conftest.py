"""Chromium on a served hub; whatever a page says on its console, and every dialog, is kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from web_story import WebStory, a_web_story

from imaging_hub.database import Database
from imaging_hub.settings import Settings

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@dataclass
class Visitor:
    """Somebody at a browser of their own."""

    story: WebStory
    page: object
    said: list[str] = field(default_factory=list)
    """Errors on the browser's console, uncaught exceptions and dialogs."""

    def sign_in(self, hub: str | None = None, console: str | None = None) -> None:
        """By a link whose fragment holds the token, as the demo prints it."""
        for origin, who in ((self.story.settings.console_url, console), (self.story.settings.hub_url, hub)):
            if who is not None:
                self.page.goto(f"{origin}/login#token={self.story.tokens[who]}")
                self.page.wait_for_url(f"{origin}/")

    def open(self, path: str) -> None:
        """A page of the hub, or of any origin."""
        self.page.goto(path if path.startswith("http") else self.story.settings.hub_url + path)
        self.page.wait_for_load_state("networkidle")


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """The browser; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if shutil.which(CHROMIUM) is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def story(settings: Settings, database: Database) -> Iterator[WebStory]:
    """A hub with people and studies, served."""
    with a_web_story(settings, database) as told:
        yield told


@pytest.fixture
def visitor(story: WebStory, chromium: object) -> Iterator[Callable[..., Visitor]]:
    """Opens a browser for a person; at the end nothing may have been said by any page."""
    made: list[Visitor] = []

    def come(hub: str | None = None, console: str | None = None, width: int = 1280) -> Visitor:
        context = chromium.new_context(viewport={"width": width, "height": 900})
        one = Visitor(story, context.new_page())
        one.page.on("console", lambda said: one.said.append(said.text) if said.type == "error" else None)
        one.page.on("pageerror", lambda fault: one.said.append(str(fault)))
        one.page.on("dialog", lambda dialog: (one.said.append(dialog.message), dialog.dismiss()))
        one.sign_in(hub, console)
        made.append(one)
        return one

    yield come
    said = [words for one in made for words in one.said]
    for one in made:
        one.page.context.close()
    assert said == []
