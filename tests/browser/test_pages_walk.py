"""Everybody walks through their pages: nothing fails on the console, nothing of a hostile sender runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from raw_scu import let_in
from web_story import DEFINITION, freeze, prepare

pytestmark = pytest.mark.peer


def walk(visitor: Any) -> list[str]:
    """Follow every entry of the navigation; the headings met."""
    page = visitor.page
    headings = []
    for href in page.eval_on_selector_all("nav a", "links => links.map(link => link.href)"):
        visitor.open(href)
        headings.append(page.locator("h1").inner_text())
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), href
    return headings


@pytest.mark.parametrize("width", [1280, 390])
def test_everybody_walks_without_an_error(visitor: Callable[..., Any], width: int) -> None:
    assert walk(visitor("operator", width=width)) == [
        "Overview", "Studies", "Quarantine", "Images and claims", "Proposed links", "Cohorts", "Releases",
        "Projects and permits", "Audit trail",
    ]  # fmt: skip
    assert walk(visitor("hospital", width=width)) == [
        "Overview", "Studies", "Quarantine", "Images and claims",
    ]  # fmt: skip
    assert walk(visitor("radiologist", width=width)) == ["Overview", "Studies", "Review"]
    assert walk(visitor("researcher", width=width)) == ["Overview", "Cohorts", "Releases", "Projects and permits"]


def test_the_hospital_walks_its_console_in_french(visitor: Callable[..., Any]) -> None:
    hospital = visitor(console="console-hospital")
    page, story = hospital.page, hospital.story
    assert page.locator("html").get_attribute("lang") == "fr"
    assert walk(hospital) == [
        "Réception", "Quarantaine", "Expéditeurs", "Associations refusées", "Récupérations", "État du hub",
    ]  # fmt: skip
    hospital.open(f"{story.settings.console_url}/refusals")
    assert "imaging-hub sender add SCANNER3 10.0.0.7" in page.content()
    hospital.open(f"{story.settings.console_url}/quarantine/{story.held}")
    assert "DUPONT" not in page.content()
    page.get_by_role("link", name="Afficher l'original").click()
    assert "DUPONT^<script>" in page.locator("table").inner_text()


def test_the_hospital_lets_a_sender_in_and_follows_its_first_study(visitor: Callable[..., Any]) -> None:
    hospital = visitor(console="console-hospital")
    page, story = hospital.page, hospital.story
    let_in(story.database, "PACS1", address="10.0.0.9", hospital="chu-exemple")
    hospital.open(f"{story.settings.console_url}/refusals")
    page.get_by_role("button", name="Autoriser pour chu-exemple").first.click()
    page.wait_for_url("**/senders/SCANNER3")
    assert page.locator("h2").all_inner_texts()[:2] == ["1. À régler au PACS", "2. Connexion"]
    hospital.open(f"{story.settings.console_url}/quarantine/{story.held}")
    page.get_by_role("button", name="Détruire l'original").click()
    assert "Les octets n'ont pas été conservés" in page.content()


def test_a_researcher_goes_from_cohort_to_download(visitor: Callable[..., Any]) -> None:
    researcher = visitor("researcher")
    page, story = researcher.page, researcher.story
    cohort = freeze(story, story.plain)
    researcher.open(f"/cohorts/{cohort}")
    assert page.locator(".flow li").count() == 3
    page.get_by_role("button", name="Ask for a release").click()
    page.wait_for_url("**/releases/release-*")
    release = page.url.rpartition("/")[2]
    prepare(story, release)
    page.reload()
    install, download = page.locator("pre.command").all_inner_texts()
    assert install.startswith(f"pip install {story.settings.hub_url}/client/")
    assert f"imaging-hub download {release}" in download
    assert story.settings.hub_url in download


def test_a_researcher_is_told_why_a_release_is_refused(visitor: Callable[..., Any]) -> None:
    researcher = visitor("researcher")
    page, story = researcher.page, researcher.story
    cohort = freeze(story, story.waiting)
    researcher.open(f"/cohorts/{cohort}")
    assert "wait for a radiologist" in page.content()
    page.get_by_role("button", name="Ask for a release").click()
    assert "still waiting for review" in page.locator("h1").inner_text()
    researcher.said.clear()  # the browser notes the 403 itself


def test_a_wrong_definition_keeps_the_text_and_says_where(visitor: Callable[..., Any]) -> None:
    researcher = visitor("researcher")
    page = researcher.page
    researcher.open("/cohorts")
    page.locator("#definition").fill(DEFINITION.replace("icd10", "icd11"))
    page.get_by_role("button", name="Count").click()
    assert "definition:6" in page.get_by_role("alert").inner_text()
    assert "icd11" in page.locator("#definition").input_value()
    researcher.said.clear()  # the browser notes the 422 itself


def test_an_expired_permit_stops_the_download_page(visitor: Callable[..., Any]) -> None:
    researcher = visitor("researcher")
    page, story = researcher.page, researcher.story
    cohort = freeze(story, story.plain)
    with story.client("researcher") as client:
        release = client.post("/api/v1/releases", json={"cohort": cohort, "permit": story.permit}).json()["id"]
    prepare(story, release)
    story.execute("UPDATE hub.permit SET valid_until = current_date - 2")
    researcher.open(f"/releases/{release}")
    assert page.locator("h1").inner_text() == "The permit has expired."
    assert page.locator("pre.command").count() == 0
    researcher.said.clear()  # the browser notes the 403 itself


def test_the_token_leaves_the_address_and_the_session_ends_on_request(visitor: Callable[..., Any]) -> None:
    operator = visitor("operator")
    page = operator.page
    assert "token" not in page.url
    page.go_back()
    assert "token" not in page.url
    operator.open("/")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    operator.open("/studies")
    assert page.url.endswith("/login?next=%2Fstudies")


def test_every_control_shows_where_the_focus_is_and_has_a_name(visitor: Callable[..., Any]) -> None:
    radiologist = visitor("radiologist", "console-radiologist")
    page = radiologist.page
    radiologist.open(f"/reviews/{radiologist.story.waiting}")
    for _ in range(20):
        page.keyboard.press("Tab")
        outline, named = page.evaluate(
            """() => { const one = document.activeElement;
                       const label = one.labels?.[0]?.textContent ?? one.getAttribute('aria-label');
                       return [getComputedStyle(one).outlineStyle, Boolean(label || one.textContent.trim())]; }"""
        )
        assert outline != "none"
        assert named
