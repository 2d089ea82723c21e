"""Who may do what over HTTP: every route against every role, and what a denial tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from web_story import DEFINITION, WebStory, a_web_story, freeze, grant, prepare

from imaging_hub.console import create_console
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.gateway.console_operators import OperatorRole
from imaging_hub.http.authentication import Permission
from imaging_hub.permits.policy import ACTIONS_BY_ROLE, MAX_COUNTS_PER_DAY, Action
from imaging_hub.permits.policy import AccountRole as Account
from imaging_hub.settings import Settings
from imaging_hub.web.app import create_app

OPEN = {"/login", "/logout", "/docs", "/client/{name}", "/openapi.json", "/healthz", "/readyz", "/metrics"}
"""Routes for everybody; /metrics asks for itself, and is tested below."""
OPEN_CONSOLE = {"/login", "/logout", "/healthz", "/readyz", "/session"}


@pytest.fixture
def story(settings: Settings, database: Database) -> Iterator[WebStory]:
    """A hub with people and studies, served."""
    with a_web_story(settings, database) as told:
        yield told


def routes(app: FastAPI, beside: set[str]) -> list[RouteContext]:
    """Every endpoint but those `beside`; the only mount is the folder of stylesheets and scripts."""
    found = [route for route in iter_route_contexts(app.routes) if route.path not in beside]
    assert [route.path for route in found if not isinstance(route.original_route, APIRoute)] == ["/static"]
    endpoints = [route for route in found if isinstance(route.original_route, APIRoute)]
    assert len(endpoints) >= 10
    return endpoints


def needed(dependant: Dependant) -> list[Permission]:
    """The permissions that a route declares, at any depth."""
    own = [dependant.call] if isinstance(dependant.call, Permission) else []
    return own + [one for inner in dependant.dependencies for one in needed(inner)]


@pytest.mark.parametrize(("make", "beside"), [(create_app, OPEN), (create_console, OPEN_CONSOLE)])
def test_every_route_declares_one_permission(
    settings: Settings, database: Database, make: Callable[[Settings, Database], FastAPI], beside: set[str]
) -> None:
    undeclared = [r.path for r in routes(make(settings, database), beside) if len(needed(r.dependant)) != 1]
    assert undeclared == []


def test_authorisation_matrix(story: WebStory) -> None:
    """Every route × every role, nobody and the expired: the role's verbs are let in, all others are not.

    A role that has the verb may meet 404 or 422 for the empty names asked for here, but never 401 or 403.
    """
    app = create_app(story.settings, story.database)
    wrong = []
    for who in [*Account, "expired", None]:
        with story.client(who) as client:
            for route in routes(app, OPEN):
                (permission,) = needed(route.dependant)
                action = permission.action
                for method in sorted(route.methods - {"HEAD"}):
                    status = client.request(method, concrete(route.path)).status_code
                    if not expected(who, action, status):
                        wrong.append((who, method, route.path, action.value, status))
    assert wrong == []


def test_authorisation_matrix_of_the_console(story: WebStory) -> None:
    """Every route × every operator role, and nobody: the roles it names are let in, all others are not."""
    app = create_console(story.settings, story.database)
    wrong = []
    for who in [*OperatorRole, None]:
        with story.client(who and f"console-{who}", console=True) as client:
            for route in routes(app, OPEN_CONSOLE):
                (permission,) = needed(route.dependant)
                refusal = 401 if who is None else None if who in permission.roles else 403
                for method in sorted(route.methods - {"HEAD"}):
                    status = client.request(method, concrete(route.path)).status_code
                    let_in = status < 500 and status not in (401, 403)
                    if not (status == refusal or (refusal is None and let_in)):
                        wrong.append((who, method, route.path, status))
    assert wrong == []


def concrete(path: str) -> str:
    """The path with names that nothing has."""
    for name in ("study_instance_uid", "series_instance_uid", "sop_instance_uid", "study", "series", "instance"):
        path = path.replace(f"{{{name}}}", "2.25.999")
    for name in ("cohort_id", "release_id"):
        path = path.replace(f"{{{name}}}", "nothing")
    return (
        path.replace("{digest}", "0" * 64).replace("{frame}", "0").replace("{frames}", "1").replace("{tag}", "00100010")
    )


def expected(who: str | None, action: Action, status: int) -> bool:
    """Whether a status is right for this role and action, on names that nothing has."""
    if who is None or who == "expired":
        return status == 401
    if action not in ACTIONS_BY_ROLE[Account(who)]:
        return status == 403
    return status not in (401, 403) and status < 500


def test_an_account_that_has_counted_enough_is_told_so(story: WebStory) -> None:
    spent = "INSERT INTO hub.told (account, cells, day, asked) VALUES ('researcher', '', :today, :asked)"
    story.execute(spent, today=datetime.now(UTC).date(), asked=MAX_COUNTS_PER_DAY)
    with story.client("researcher") as client:
        answer = client.post("/api/v1/cohorts/count", json={"definition": DEFINITION})
    assert (answer.status_code, answer.json()["code"]) == (403, "query-budget")
    assert "tomorrow" in answer.json()["hint"]


def test_the_console_lets_in_its_own_people_only(story: WebStory) -> None:
    for who, status in (("console-hospital", 200), ("console-radiologist", 403), ("hospital", 401), (None, 401)):
        with story.client(who, console=True) as client:
            assert client.get("/quarantine").status_code == status, who
    with story.client("console-hospital") as client:
        assert client.get("/api/v1/overview").status_code == 401


def test_a_hospital_sees_its_own_studies_only(story: WebStory) -> None:
    with story.client("hospital") as own, story.client("elsewhere") as other:
        assert len(own.get("/api/v1/studies").json()) == 2
        assert other.get("/api/v1/studies").json() == []
        assert other.get("/api/v1/quarantine").json() == []
        assert other.get("/api/v1/overview").json()["totals"]["studies"] == 0
        for path in (f"/studies/{story.study}", f"/series/{story.plain}", f"/studies/{story.study}/series"):
            foreign, missing = other.get(f"/api/v1{path}"), other.get(f"/api/v1{path.replace('2.25', '2.26')}")
            assert foreign.status_code == missing.status_code == 404
            assert foreign.json() == missing.json()


def ready_release(story: WebStory) -> str:
    """A release of the series that needs no review, made for real."""
    cohort = freeze(story, story.plain)
    with story.client("researcher") as client:
        asked = client.post("/api/v1/releases", json={"cohort": cohort, "permit": story.permit})
    assert asked.status_code == 200, asked.text
    prepare(story, asked.json()["id"])
    return str(asked.json()["id"])


def test_a_foreign_release_and_a_missing_one_look_alike(story: WebStory) -> None:
    release = ready_release(story)
    with story.client("stranger") as stranger:
        for end in ("", "/manifest", f"/objects/{'0' * 64}"):
            foreign = stranger.get(f"/api/v1/releases/{release}{end}")
            missing = stranger.get(f"/api/v1/releases/nothing{end}")
            assert foreign.status_code == missing.status_code == 404
            assert foreign.json() == missing.json()
        assert stranger.get("/api/v1/releases").json() == []
        asked = stranger.post("/api/v1/releases", json={"cohort": "cohort-of-the-test", "permit": story.permit})
        assert asked.status_code == 404


def test_an_operator_sees_that_a_release_exists_and_takes_nothing(story: WebStory) -> None:
    release = ready_release(story)
    with story.client("operator") as operator:
        assert operator.get(f"/api/v1/releases/{release}").json()["state"] == "READY"
        assert operator.get(f"/api/v1/releases/{release}/manifest").status_code == 403


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE hub.permit SET revoked_at = now()", "permit-revoked"),
        ("UPDATE hub.permit SET valid_until = current_date - 2", "permit-expired"),
        (
            "UPDATE hub.series SET review_state = 'REJECTED' WHERE series_instance_uid = '2.25.1002'",
            "rejected-in-review",
        ),
        ("INSERT INTO hub.opposition (sid) SELECT sid FROM hub.cohort_member LIMIT 1", "subject-opposes"),
        ("UPDATE hub.account SET expires_at = now() - interval '1 hour'", "account-expired"),
    ],
)
def test_what_ends_a_permission_ends_the_download_at_the_next_request(story: WebStory, change: str, code: str) -> None:
    release = ready_release(story)
    digest = story.scalar("SELECT digest FROM hub.release_item LIMIT 1")
    with story.client("researcher") as client:
        path = f"/api/v1/releases/{release}/objects/{digest}"
        assert client.get(path).status_code == 200
        story.execute(change)
        refused = client.get(path)
    assert refused.json()["code"] == code
    assert refused.status_code in (401, 403)
    assert refused.json()["hint"]


def test_a_denied_download_and_a_download_are_on_the_trail_once(story: WebStory) -> None:
    release = ready_release(story)
    digests = [str(story.scalar(f"SELECT digest FROM hub.release_item OFFSET {n} LIMIT 1")) for n in range(4)]
    with story.client("researcher") as client:
        client.get(f"/api/v1/releases/{release}/manifest").raise_for_status()
        for digest in digests:
            client.get(f"/api/v1/releases/{release}/objects/{digest}").raise_for_status()
        assert story.audited("release-downloaded") == 1
        story.execute("UPDATE hub.permit SET revoked_at = now()")
        for digest in digests:
            client.get(f"/api/v1/releases/{release}/objects/{digest}")
    assert story.audited("access-denied") == 1


def test_an_unreviewed_series_is_not_released_and_an_approved_one_is(story: WebStory) -> None:
    cohort = freeze(story, story.waiting)
    body = {"cohort": cohort, "permit": story.permit}
    with story.client("researcher") as researcher, story.client("radiologist") as radiologist:
        assert researcher.post("/api/v1/releases", json=body).json()["code"] == "not-reviewed"
        digest = radiologist.get(f"/api/v1/reviews/{story.waiting}").json()["series"]["content_digest"]
        approved = {"verdict": "APPROVED", "content_digest": digest}
        assert radiologist.post(f"/api/v1/reviews/{story.waiting}", json=approved).status_code == 204
        assert researcher.post("/api/v1/releases", json=body).status_code == 200


def test_a_verdict_holds_for_the_content_it_was_given_on(story: WebStory) -> None:
    with story.client("radiologist") as radiologist:
        path = f"/api/v1/reviews/{story.waiting}"
        stale = radiologist.post(path, json={"verdict": "APPROVED", "content_digest": "0" * 64})
        assert (stale.status_code, stale.json()["code"]) == (409, "content-changed")
        digest = radiologist.get(path).json()["series"]["content_digest"]
        bare = radiologist.post(path, json={"verdict": "REJECTED", "content_digest": digest})
        assert (bare.status_code, bare.json()["code"]) == (422, "reason-missing")
        body = {"verdict": "REJECTED", "content_digest": digest, "reason": "burned-in-text"}
        assert radiologist.post(path, json=body).status_code == 204
        free = radiologist.post(path, json={**body, "reason": "the name DUPONT is on it"})
        assert free.status_code == 422
        assert "DUPONT" not in free.text
    assert story.scalar("SELECT state FROM hub.study WHERE study_instance_uid = '2.25.2001'") == "VETOED"
    assert story.audited("review-decided") == 1


def test_metrics_are_for_this_machine_or_an_operator_and_hold_no_uid(story: WebStory) -> None:
    with story.client(None) as client:
        figures = client.get("/metrics")
        assert figures.status_code == 200
        assert "2.25" not in figures.text and "P-0001" not in figures.text
        proxied = {"X-Forwarded-For": "10.0.0.1"}
        assert client.get("/metrics", headers=proxied).status_code == 401
    with story.client("researcher") as client:
        assert client.get("/metrics", headers=proxied).status_code == 403
    with story.client("operator") as client:
        assert client.get("/metrics", headers=proxied).status_code == 200


def test_a_cookie_session_changes_nothing_for_another_origin(story: WebStory) -> None:
    with story.client(None) as client:
        origin = story.settings.hub_url
        form = {"token": story.tokens["radiologist"]}
        assert client.post("/login", data=form, headers={"Origin": "http://evil.example"}).status_code == 403
        signed_in = client.post("/login", data=form, headers={"Origin": origin})
        assert signed_in.status_code == 303
        cookie = signed_in.headers["set-cookie"]
        assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower()
        verdict = {"verdict": "APPROVED", "content_digest": "0" * 64}
        path = f"/api/v1/reviews/{story.waiting}"
        assert client.post(path, json=verdict).json()["code"] == "foreign-origin"
        assert client.post(path, json=verdict, headers={"Origin": story.settings.console_url}).status_code == 403
        assert client.post(path, json=verdict, headers={"Origin": origin}).json()["code"] == "content-changed"


def test_signing_in_goes_to_a_path_of_this_hub_only(story: WebStory) -> None:
    with story.client(None) as client:
        for bad in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"):
            form = {"token": story.tokens["operator"], "next": bad}
            answer = client.post("/login", data=form, headers={"Origin": story.settings.hub_url})
            assert answer.headers["location"] == "/"


def test_a_researcher_is_not_told_small_counts(story: WebStory) -> None:
    with story.client("researcher") as client:
        told = client.get("/api/v1/overview").json()
    assert told["totals"]["studies"] == "<11"
    assert told["received"] == {} and told["waiting_for_review"] is None


def test_a_new_permit_lets_the_holder_go_on(story: WebStory) -> None:
    release = ready_release(story)
    story.execute("UPDATE hub.permit SET valid_until = current_date - 2")
    with story.database.begin(DatabaseRole.OWNER) as connection:
        renewed = grant(story, connection_until=5, connection=connection)
    with story.client("researcher") as client:
        assert client.get(f"/api/v1/releases/{release}").status_code == 403
        body = {"cohort": "cohort-of-the-test", "permit": renewed}
        assert client.post("/api/v1/releases", json=body).status_code == 200


def test_the_web_role_cannot_read_an_identity(story: WebStory) -> None:
    with (
        pytest.raises(Exception, match="permission denied"),
        story.database.begin(DatabaseRole.WEB) as connection,
    ):
        connection.exec_driver_sql("SELECT patient_id FROM identifying.instance")


def test_the_hub_is_unready_while_its_database_is_away(story: WebStory) -> None:
    with story.client("operator") as client:
        assert client.get("/readyz").status_code == 200
        story.execute("ALTER ROLE imaging_hub_web NOLOGIN")
        try:
            story.database.engine(DatabaseRole.WEB).dispose()
            assert client.get("/readyz").status_code == 503
            away: httpx.Response = client.get("/api/v1/overview")
            assert (away.status_code, away.json()["code"]) == (503, "database-unavailable")
        finally:
            story.execute("ALTER ROLE imaging_hub_web LOGIN")
