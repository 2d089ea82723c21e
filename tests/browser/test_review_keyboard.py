"""A radiologist's look, without a mouse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from web_story import HOSTILE, freeze

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

pytestmark = pytest.mark.peer


def shown(page: Any, side: str) -> str:
    """Address of the picture that a pane shows."""
    return str(page.locator(f"#{side} img").get_attribute("src"))


def settled(page: Any, ending: str) -> None:
    """Wait until both panes show the picture whose address ends so."""
    page.wait_for_function(
        "end => ['before', 'after'].every(side => document.querySelector(`#${side} img`)?.src.endsWith(end))",
        arg=ending,
    )


def test_both_panes_turn_together_from_the_keyboard(visitor: Callable[..., Any]) -> None:
    radiologist = visitor("radiologist", "console-radiologist")
    page, story = radiologist.page, radiologist.story
    radiologist.open(f"/reviews/{story.waiting}")
    assert page.locator("#place").inner_text() == "5 of 8"
    first = shown(page, "after")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("first => !document.querySelector('#after img').src.endsWith(first)", arg=first)
    assert page.locator("#place").inner_text() == "6 of 8"
    settled(page, shown(page, "after").rsplit("/", 2)[-2] + "/0.png")
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    assert page.locator("#place").inner_text() == "8 of 8"
    page.keyboard.press("Home")
    assert page.locator("#place").inner_text() == "1 of 8"
    page.keyboard.press("Shift+ArrowUp")
    settled(page, "?center=990&width=1800")
    page.keyboard.press("]")
    settled(page, "?center=990&width=1890")
    page.keyboard.press("0")
    settled(page, "/0.png")
    assert shown(page, "before").startswith(story.settings.console_url)


def test_blink_turns_one_picture_over_the_other(visitor: Callable[..., Any]) -> None:
    radiologist = visitor("radiologist", "console-radiologist")
    page = radiologist.page
    radiologist.open(f"/reviews/{radiologist.story.waiting}")
    settled(page, "/0.png")
    before, after = page.locator(".pane.before"), page.locator(".pane.after")
    page.keyboard.press("h")
    assert before.is_visible() and not after.is_visible()
    assert before.bounding_box()["x"] == after.bounding_box()["x"]
    page.keyboard.press("h")
    assert after.is_visible() and not before.is_visible()
    page.keyboard.press("Escape")
    assert before.is_visible() and after.is_visible()


def test_approving_from_the_keyboard_goes_on_to_the_next(visitor: Callable[..., Any]) -> None:
    radiologist = visitor("radiologist", "console-radiologist")
    page, story = radiologist.page, radiologist.story
    radiologist.open(f"/reviews/{story.waiting}")
    expect(page.locator("#both")).to_be_checked()
    page.keyboard.press("a")
    page.wait_for_url("**/reviews?done=*")
    assert story.scalar("SELECT verdict FROM hub.review") == "APPROVED"
    assert (
        story.scalar("SELECT detail->>'basis' FROM audit.entry WHERE action = 'review-decided'") == "before-and-after"
    )
    assert page.get_by_role("status").is_visible()


def test_rejecting_from_the_keyboard_needs_its_reason(visitor: Callable[..., Any]) -> None:
    radiologist = visitor("radiologist", "console-radiologist")
    page, story = radiologist.page, radiologist.story
    radiologist.open(f"/reviews/{story.waiting}")
    expect(page.locator("#both")).to_be_checked()
    page.keyboard.press("r")
    assert page.evaluate("document.activeElement.id") == "reason"
    assert story.scalar("SELECT count(*) FROM hub.review") == 0
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    page.wait_for_url("**/reviews?done=*")
    assert story.scalar("SELECT verdict || ' ' || reason FROM hub.review") == "REJECTED burned-in-text"
    cohort = freeze(story, story.waiting)
    with story.client("researcher") as client:
        asked = client.post("/api/v1/releases", json={"cohort": cohort, "permit": story.permit})
    assert asked.json()["code"] == "rejected-in-review"


def test_identifiers_are_masked_until_asked_for_and_never_run(visitor: Callable[..., Any]) -> None:
    radiologist = visitor("radiologist", "console-radiologist")
    page, story = radiologist.page, radiologist.story
    radiologist.open(f"/reviews/{story.waiting}")
    name = page.locator('td[data-path="PatientName"]')
    assert name.inner_text() == "•••"
    assert "DUPONT" not in page.content()
    page.get_by_role("button", name="Show identifiers").click()
    expect(name).to_have_text(HOSTILE)
    assert story.scalar("SELECT count(*) FROM audit.entry WHERE detail->>'what' = 'attributes'") == 1
    page.get_by_role("button", name="Mask identifiers").click()
    assert name.inner_text() == "•••"


def test_without_the_console_after_alone_can_be_judged_and_says_so(visitor: Callable[..., Any]) -> None:
    radiologist = visitor("radiologist")
    page, story = radiologist.page, radiologist.story
    radiologist.open(f"/reviews/{story.waiting}")
    assert page.locator("#absent").is_visible()
    assert page.locator("#both").is_disabled() and page.locator("#reveal").is_disabled()
    page.keyboard.press("a")  # not said what was looked at: the browser asks, nothing is sent
    assert story.scalar("SELECT count(*) FROM hub.review") == 0
    page.locator("#after-only").check()
    page.keyboard.press("a")
    page.wait_for_url("**/reviews?done=*")
    assert story.scalar("SELECT detail->>'basis' FROM audit.entry WHERE action = 'review-decided'") == "after-only"


def test_letter_keys_can_be_turned_off(visitor: Callable[..., Any]) -> None:
    """WCAG 2.2, 2.1.4: a shortcut of one character can be turned off."""
    radiologist = visitor("radiologist", "console-radiologist")
    page, story = radiologist.page, radiologist.story
    radiologist.open(f"/reviews/{story.waiting}")
    expect(page.locator("#both")).to_be_checked()
    page.locator("#letters").uncheck()
    page.keyboard.press("a")
    page.locator("#find").fill("a")
    page.wait_for_timeout(200)
    assert story.scalar("SELECT count(*) FROM hub.review") == 0


def test_a_hub_session_is_no_console_session(visitor: Callable[..., Any]) -> None:
    radiologist = visitor("radiologist")
    cookies = {cookie["name"]: cookie["value"] for cookie in radiologist.page.context.cookies()}
    assert list(cookies) == ["imaging_hub"]
    with httpx.Client(base_url=radiologist.story.settings.console_url) as client:
        client.cookies.set("imaging_hub_console", cookies["imaging_hub"])
        assert client.get("/session").json() == {"person": None}
