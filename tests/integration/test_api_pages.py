"""What every answer carries, and what a page does with what a hostile sender wrote."""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Iterator
from html.parser import HTMLParser

import httpx
import pytest
from web_story import HOSTILE_DESCRIPTION, WebStory, a_web_story, freeze, prepare

from imaging_hub.database import Database
from imaging_hub.http.pages import STATIC
from imaging_hub.http.sessions import local_path
from imaging_hub.settings import Settings

PAGES = {
    "operator": [
        "/",
        "/studies",
        "/quarantine",
        "/reconciliation",
        "/linkage",
        "/cohorts",
        "/releases",
        "/permits",
        "/audit",
        "/docs",
        "/nowhere",
    ],
    "hospital": ["/", "/studies", "/quarantine", "/reconciliation"],
    "radiologist": ["/", "/studies", "/reviews", "/reviews/2.25.2002", "/studies/2.25.2001"],
    "researcher": ["/", "/cohorts", "/releases", "/permits", "/cohorts/cohort-of-the-test"],
    "console-hospital": [
        "/",
        "/studies/1",
        "/quarantine",
        "/senders",
        "/refusals",
        "/retrievals",
        "/health",
        "/login",
        "/nowhere",
    ],
    "console-radiologist": ["/"],
}


@pytest.fixture
def story(settings: Settings, database: Database) -> Iterator[WebStory]:
    """A hub with people and studies, served."""
    with a_web_story(settings, database) as told:
        yield told


class Inspection(HTMLParser):
    """What a page holds that could run or be styled in place."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and not (given.get("src") or "").startswith("/static/"):
            self.faults.append("inline script")
        if tag in ("style", "iframe", "object", "embed", "base"):
            self.faults.append(tag)
        if tag == "img" and (given.get("src") or "") == "x":
            self.faults.append("the hostile picture is a picture")
        self.faults += [name for name in given if name == "style" or name.startswith("on")]


def pages(story: WebStory) -> Iterator[tuple[str, httpx.Response]]:
    """Every page as somebody who may see it."""
    for who, paths in PAGES.items():
        with story.client(who, console=who.startswith("console")) as client:
            for path in paths:
                yield f"{who} {path}", client.get(path, headers={"Accept": "text/html"})


def test_no_page_holds_inline_script_or_style_whatever_a_sender_wrote(story: WebStory) -> None:
    freeze(story, story.plain)
    seen = 0
    for name, answer in pages(story):
        assert answer.status_code == (404 if name.endswith("nowhere") else 200), name
        assert Inspection(answer.text).faults == [], name
        seen += HOSTILE_DESCRIPTION.replace("<", "&lt;").replace(">", "&gt;") in answer.text
    assert seen >= 2  # the hostile text was there, as text


def test_no_list_of_either_app_names_a_patient(story: WebStory) -> None:
    for name, answer in pages(story):
        for identifying in ("DUPONT", "0012345678", "19551231", "MARTIN", "1.2.3.4"):
            assert identifying not in answer.text, name


def test_every_answer_is_protected(story: WebStory) -> None:
    answers = list(pages(story))
    with story.client("operator") as client:
        programs = ("/api/v1/overview", "/api/v1/no", "/metrics", "/healthz", "/static/hub.css", "/studies?offset=x")
        answers += [(path, client.get(path)) for path in programs]
    for name, answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy, name
        assert "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy, name
        assert answer.headers["x-content-type-options"] == "nosniff", name
        assert answer.headers["referrer-policy"] == "no-referrer", name
        if "/static/" not in name:
            assert answer.headers["cache-control"] == "no-store", name


def test_errors_are_problem_details_that_repeat_no_value(story: WebStory) -> None:
    with story.client("operator") as client:
        for path in (
            "/api/v1/studies/DUPONT",
            "/api/v1/studies?limit=DUPONT",
            "/api/v1/audit/entries?before=DUPONT",
            "/api/v1/DUPONT",
            "/api/v1/studies?description=%00DUPONT",
        ):
            answer = client.get(path)
            assert answer.headers["content-type"] == "application/problem+json"
            assert set(answer.json()) == {"type", "title", "status", "detail", "code", "hint"}
            assert answer.json()["status"] == answer.status_code
            assert 400 <= answer.status_code < 500
            assert "DUPONT" not in answer.text
        assert client.delete("/api/v1/studies").json()["code"] == "method-not-allowed"


def test_a_request_that_grows_too_large_or_is_compressed_is_refused(story: WebStory) -> None:
    with story.client("researcher") as client:
        for _ in range(20):  # the connection stays usable: what was refused is read to its end
            large = client.post("/api/v1/cohorts/check", content=(b"x" * 65536 for _ in range(64)))
            assert (large.status_code, large.json()["code"]) == (413, "too-large")
            packed = client.post("/api/v1/cohorts/check", content=b"{}", headers={"Content-Encoding": "gzip"})
            assert (packed.status_code, packed.json()["code"]) == (415, "content-encoding")


def test_a_request_without_end_is_answered_and_its_connection_closed(story: WebStory) -> None:
    with story.client("researcher") as client:
        url, token = client.base_url, client.headers["Authorization"]
    head = f"POST /api/v1/cohorts/check HTTP/1.1\r\nHost: {url.host}\r\nAuthorization: {token}\r\n"
    with socket.create_connection((url.host, url.port or 80), 30) as connection:
        connection.sendall(f"{head}Content-Length: {1 << 40}\r\n\r\n".encode())
        connection.sendall(bytes((16 << 20) + 1))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nconnection: close\r\n" in answer.lower()


def test_a_wrong_definition_is_answered_with_line_and_remedy(story: WebStory) -> None:
    with story.client("researcher") as client:
        answer = client.post("/api/v1/cohorts/check", json={"definition": "cohort: a\nversion: 1\nindexx: {}\n"})
        assert (answer.status_code, answer.json()["code"]) == (422, "cohort-definition")
        assert "definition:3" in answer.json()["detail"]
        page = client.post("/cohorts/count", files={"file": ("c.yaml", b"cohort: a\nindexx: {}\n")})
    assert page.status_code == 422
    assert "c.yaml" not in page.text and "definition:2" in page.text


def test_a_browser_without_a_session_is_sent_to_sign_in(story: WebStory) -> None:
    with story.client(None) as client:
        answer = client.get("/studies", headers={"Accept": "text/html"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fstudies")
        assert client.get("/api/v1/studies").status_code == 401
        wrong = client.post("/login", data={"token": "nobody's"}, headers={"Origin": story.settings.hub_url})
        assert wrong.status_code == 401
        assert "nobody" not in wrong.text


def test_anybody_gets_the_client_that_the_pages_name_and_no_other(story: WebStory) -> None:
    cohort = freeze(story, story.plain)
    with story.client("researcher") as client:
        release = client.post("/api/v1/releases", json={"cohort": cohort, "permit": story.permit}).json()["id"]
        prepare(story, release)
        shown = client.get(f"/releases/{release}", headers={"Accept": "text/html"}).text
    with story.client(None) as anybody:
        line = r"pip install (http\S+)#sha256=([0-9a-f]{64})"
        named = re.findall(line, shown)
        assert named == re.findall(line, anybody.get("/docs").text)
        ((address, digest),) = named
        answer = anybody.get(address)
        assert answer.status_code == 200
        assert hashlib.sha256(answer.content).hexdigest() == digest
        assert anybody.get(address.replace("-0.", "-9.")).status_code == 404


def test_an_object_is_sent_in_ranges_and_whole(story: WebStory) -> None:
    cohort = freeze(story, story.plain)
    with story.client("researcher") as client:
        release = client.post("/api/v1/releases", json={"cohort": cohort, "permit": story.permit}).json()["id"]
        assert client.get(f"/api/v1/releases/{release}/manifest").json()["code"] == "not-ready"
        prepare(story, release)
        digest = story.scalar("SELECT digest FROM hub.release_item LIMIT 1")
        path = f"/api/v1/releases/{release}/objects/{digest}"
        whole = client.get(path)
        size = len(whole.content)
        assert whole.headers["accept-ranges"] == "bytes"
        for asked, part in (
            ("bytes=0-99", whole.content[:100]),
            (f"bytes={size - 7}-", whole.content[-7:]),
            ("bytes=-5", whole.content[-5:]),
            (f"bytes=10-{size * 2}", whole.content[10:]),
        ):
            answer = client.get(path, headers={"Range": asked})
            assert (answer.status_code, answer.content) == (206, part)
            assert answer.headers["content-range"].endswith(f"/{size}")
        outside = client.get(path, headers={"Range": f"bytes={size}-"})
        assert (outside.status_code, outside.headers["content-range"]) == (416, f"bytes */{size}")
        other = client.get(path, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
        assert (other.status_code, len(other.content)) == (200, size)
        assert client.get(path, headers={"Range": "bytes=0-1,5-9"}).status_code == 200
        assert client.get(f"/api/v1/releases/{release}/objects/{'0' * 64}").status_code == 404


def test_the_console_shows_before_to_its_people_and_notes_each_look(story: WebStory) -> None:
    sop = story.scalar(
        "SELECT sop_instance_uid FROM hub.instance WHERE series_instance_uid = :s LIMIT 1", s=story.waiting
    )
    base = f"/before/{story.waiting}/{sop}"
    origin = {"Origin": story.settings.hub_url}
    with story.client(None, console=True) as nobody:
        assert nobody.get(f"{base}/0.png").status_code == 401
        assert nobody.get("/session").json() == {"person": None}
    with story.client("console-radiologist", console=True) as client:
        for _ in range(3):
            picture = client.get(f"{base}/0.png?center=900&width=1800", headers=origin)
            assert picture.content.startswith(b"\x89PNG")
        assert story.audited("identity-seen") == 1
        assert picture.headers["access-control-allow-origin"] == story.settings.hub_url
        shown = client.get(f"{base}/attributes", headers={"Origin": "http://evil.example"})
        assert "access-control-allow-origin" not in shown.headers
        assert shown.json()["attributes"]["PatientID"] == "0012345678"
        client.get(f"{base}/attributes", headers=origin)
        assert story.audited("identity-seen") == 3
        story.execute("UPDATE identifying.instance SET purged_at = now()")
        assert client.get(f"{base}/0.png").json()["code"] == "original-gone"
    entries = str(story.scalar("SELECT string_agg(entry::text, ' ') FROM audit.entry entry"))
    assert "0012345678" not in entries and "DUPONT" not in entries


def test_a_held_original_is_shown_to_the_hospital_only_and_noted(story: WebStory) -> None:
    path = f"/quarantine/{story.held}/original"
    with story.client("console-radiologist", console=True) as client:
        assert client.get(path).status_code == 403
    with story.client("console-hospital", console=True) as client:
        page = client.get(path, headers={"Accept": "text/html"})
        assert page.status_code == 200 and "0012345678" in page.text
        assert Inspection(page.text).faults == []
        assert client.get(f"/quarantine/{story.held}/0.png").content.startswith(b"\x89PNG")
    assert story.audited("identity-seen") == 2


def test_an_after_picture_follows_the_window(story: WebStory) -> None:
    sop = story.scalar(
        "SELECT sop_instance_uid FROM hub.instance WHERE series_instance_uid = :s LIMIT 1", s=story.waiting
    )
    base = f"/reviews/{story.waiting}/after/{sop}"
    with story.client("radiologist") as client:
        bright = client.get(f"{base}/0.png?center=100&width=50")
        dark = client.get(f"{base}/0.png?center=3000&width=50")
        assert bright.headers["content-type"] == "image/png"
        assert bright.content != dark.content
        assert client.get(f"{base}/1.png").status_code == 404
        for wrong in ("center=nan&width=1", "center=1&width=0", "center=x&width=1"):
            assert client.get(f"{base}/0.png?{wrong}").status_code == 422


def test_a_path_to_go_to_is_of_this_app() -> None:
    for path in ("/", "/studies?modality=CT"):
        assert local_path(path) == path
    for path in ("", "studies", "//host", "/\\host", "https://host", "/a\nb"):
        assert local_path(path) == "/"


def test_the_stylesheet_keeps_text_readable() -> None:
    """WCAG AA: 4.5 to 1 for each pair of ink and ground that the stylesheet declares."""
    css = (STATIC / "hub.css").read_text("utf-8")
    colour = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6});", css))
    pairs = [("ink", "ground"), ("soft", "ground"), ("soft", "sheet"), ("link", "sheet"), ("link", "info-ground")]
    pairs += [(kind, f"{kind}-ground") for kind in ("good", "wait", "bad")]
    for ink, ground in pairs:
        assert contrast(colour[ink], colour[ground]) >= 4.5, (ink, ground)
    assert contrast("#ffffff", colour["brand"]) >= 4.5


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours (WCAG 2.2, 1.4.3)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance of `#rgb` or `#rrggbb`."""
    digits = colour.lstrip("#")
    digits = "".join(d * 2 for d in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
