"""Releases: who gets one, what is in it, and that nothing in it leads back to the archive or to another project."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg import sql
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid
from sqlalchemy import text

from imaging_hub.archive.objects import ObjectStore
from imaging_hub.audit import trail
from imaging_hub.cohorts import release as releases
from imaging_hub.cohorts.release import RequestedRelease
from imaging_hub.cohorts.release_rewriting import project_pseudonym, rewrite
from imaging_hub.database import DUE_CHANNEL, Database
from imaging_hub.database import DatabaseRole as Login
from imaging_hub.errors import HubError, NotFound
from imaging_hub.keys import pseudonym_chain
from imaging_hub.permits import accounts, projects
from imaging_hub.permits.policy import AccountRole, DenialReason, Denied, RequestActor
from tests.archived import PSEUDONYM, archive, deidentified, from_file, slice_of

TODAY = date(2026, 11, 23)
ADA = RequestActor("ada", AccountRole.RESEARCHER)
DEFINITION = """\
cohort: cancer-ct
version: 1
sets: {cancer: {icd10: ["C34*"]}}
index: {event: {domain: diagnosis, set: cancer}}
imaging: [{name: ct, modality: CT, window: {before: [0, 10]}}]
"""
PID_KEY, UID_KEY = bytes(range(32)), bytes(range(1, 33))


@dataclass(frozen=True)
class Hub:
    """A database with one frozen cohort of two subjects for each of two projects, and the objects of it."""

    database: Database
    objects: ObjectStore
    permits: dict[str, str]

    def request(
        self, project: str = "p", *, actor: RequestActor = ADA, today: date = TODAY
    ) -> RequestedRelease | Denied:
        with self.database.begin(Login.WEB) as connection:
            return releases.request(
                connection, actor=actor, cohort=f"cohort-{project}", permit_id=self.permits.get(project), today=today
            )

    def released(self, project: str = "p", pid_key: bytes = PID_KEY, uid_key: bytes = UID_KEY) -> str:
        found = self.request(project)
        assert isinstance(found, RequestedRelease)
        releases.prepare(self.database.login(Login.WORKER), self.objects, found.id, pid_key, uid_key)
        return found.id

    def row(self, release: str) -> tuple[str, str, int, int]:
        with self.database.begin(Login.WEB) as connection:
            found = connection.execute(
                text("SELECT state, manifest_digest, instances, bytes FROM hub.release WHERE id = :id"),
                {"id": release},
            ).one()
        return tuple(found)

    def manifest(self, release: str) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = pq.read_table(io.BytesIO(self.objects.get(self.row(release)[1]))).to_pylist()
        return rows


@pytest.fixture
def hub(database: Database, tmp_path: Path) -> Hub:
    objects = ObjectStore((tmp_path / "objects").as_uri())
    for number in (1, 2):
        study, series = ours(f"study {number}"), ours(f"series {number}")
        slices = [a_slice(study, series, place, f"S-{number}") for place in range(1, 4)]
        archive(database, [deidentified(one) for one in slices], objects, sid=f"{number}" * 32, pseudonym=f"S-{number}")
    now = datetime.now(UTC)
    permits = {}
    with database.begin(Login.WORKER) as connection:
        for name in ("ada", "bob"):
            accounts.add(connection, name, AccountRole.RESEARCHER, now + timedelta(days=1), by="op")
        for project in ("p", "q"):
            projects.add(connection, project, title="t", purpose="t", public_interest="t", legal_basis="x", by="op")
            permits[project] = projects.grant(
                connection, project, valid_from=TODAY, valid_until=TODAY, holders=["ada"], modalities=["CT"],
                domains=["diagnosis", "death"], by="op",
            )  # fmt: skip
            connection.execute(
                text(
                    "INSERT INTO hub.cohort (id, project, name, definition, definition_digest, data_version, flowchart,"
                    " frozen_by) VALUES (:id, :project, 'c', :definition, 'd', 'v', '{}', 'ada')"
                ),
                {"id": f"cohort-{project}", "project": project, "definition": DEFINITION},
            )
            connection.execute(
                text(
                    "INSERT INTO hub.cohort_member (cohort, sid, index_date, series_instance_uid, content_digest,"
                    " age_band, sex, death_offset_days, link_method, link_score)"
                    " SELECT :cohort, st.sid, '2019-03-11', s.series_instance_uid, s.content_digest, '60-64', 'female',"
                    " 30, 'exact', 0.995 FROM hub.series s JOIN hub.study st USING (study_instance_uid)"
                ),
                {"cohort": f"cohort-{project}"},
            )
    return Hub(database, objects, permits)


def ours(name: str) -> str:
    """A UID of the form the archive gives."""
    return str(generate_uid(prefix="2.25.", entropy_srcs=[name])).replace("2.25.0", "2.25.1")[:43]


def a_slice(study: str, series: str, number: int, pseudonym: str) -> Dataset:
    referenced = Dataset()
    referenced.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    referenced.ReferencedSOPInstanceUID = ours(f"{series} {number - 1}")
    nested = Dataset()
    nested.PatientID = pseudonym
    nested.StudyInstanceUID = study
    nested.ReferencedSOPSequence = Sequence([referenced])
    return slice_of(
        study,
        series,
        number,
        float(number),
        SOPInstanceUID=ours(f"{series} {number}"),
        FrameOfReferenceUID=ours(study),
        BodyPartExamined="CHEST",
        PatientID=pseudonym,
        PatientName=pseudonym,
        RequestAttributesSequence=Sequence([nested]),
    )


def test_a_release_holds_the_projects_pseudonyms_and_the_pixels_as_they_were(hub: Hub) -> None:
    release = hub.released()
    state, _, instances, size = hub.row(release)
    rows = hub.manifest(release)
    assert (state, instances, len(rows)) == ("READY", 6, 6)
    assert size == sum(int(str(row["size"])) for row in rows)
    archived = {}
    with hub.database.begin(Login.WEB) as connection:
        for (digest,) in connection.execute(text("SELECT digest FROM hub.instance")):
            one = dcmread(io.BytesIO(hub.objects.get(digest)))
            archived[one.pixel_array.tobytes(), one.InstanceNumber, project_pseudonym(PID_KEY, sid_of(one))] = one
    for row in rows:
        copy = dcmread(io.BytesIO(hub.objects.get(str(row["digest"]))))
        source = archived[copy.pixel_array.tobytes(), copy.InstanceNumber, str(copy.PatientID)]
        assert re.fullmatch(r"P(-[0-9A-Z]{4}){4}", str(copy.PatientID))
        assert copy.PatientID == copy.PatientName == row["pid"]
        assert copy.RequestAttributesSequence[0].PatientID == row["pid"]
        assert copy.SOPInstanceUID == row["sop_instance_uid"] == copy.file_meta.MediaStorageSOPInstanceUID
        assert copy.StudyInstanceUID == row["study_instance_uid"]
        assert copy.RequestAttributesSequence[0].StudyInstanceUID == row["study_instance_uid"], "references agree"
        assert copy.SOPClassUID == source.SOPClassUID, "UIDs of the Standard are kept"
        assert copy.ConvolutionKernel == source.ConvolutionKernel
        expected = (
            f"{row['pid']}/{row['study_instance_uid']}/{row['series_instance_uid']}/{copy.InstanceNumber:04d}.dcm"
        )
        assert row["path"] == expected
        assert row["index_offset_days"] == -10
        assert (row["age_band"], row["sex"], row["modality"]) == ("60-64", "female", "CT")
        assert (row["link_method"], row["link_score"]) == ("exact", 0.995)
        assert "death_offset_days" not in row, "it was not asked for"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("[]", {}),
        ("[sex]", {"sex": "female"}),
        ("[death_offset_days, link]", {"death_offset_days": 30, "link_method": "exact", "link_score": 0.995}),
    ],
)
def test_a_manifest_says_of_a_subject_what_was_asked_for_and_no_more(
    hub: Hub, asked: str, said: dict[str, object]
) -> None:
    with hub.database.begin(Login.OWNER) as owner:
        owner.execute(
            text("UPDATE hub.cohort SET definition = :asked"), {"asked": f"{DEFINITION}output: {{columns: {asked}}}\n"}
        )
    every = {"age_band", "sex", "index_offset_days", "death_offset_days", "link_method", "link_score"}
    for row in hub.manifest(hub.released()):
        assert {name: value for name, value in row.items() if name in every} == said


def sid_of(instance: Dataset) -> str:
    return str(instance.PatientID).removeprefix("S-") * 32


def test_nothing_in_a_release_leads_back_to_the_archive(hub: Hub) -> None:
    release = hub.released()
    with hub.database.begin(Login.WEB) as connection:
        hub_uids = set(
            connection.execute(
                text(
                    "SELECT sop_instance_uid FROM hub.instance UNION SELECT series_instance_uid FROM hub.series"
                    " UNION SELECT study_instance_uid FROM hub.study UNION SELECT sid FROM hub.subject"
                )
            ).scalars()
        )
    told = str(hub.manifest(release)).encode()
    for row in hub.manifest(release):
        told += hub.objects.get(str(row["digest"]))
    told += hub.objects.get(hub.row(release)[1])
    assert len(hub_uids) == 12
    assert not [known for known in hub_uids if known.encode() in told]
    assert not re.search(rb"S-[12]\b", told)


def test_releases_for_two_projects_share_no_uid_and_no_patient(hub: Hub) -> None:
    one = hub.manifest(hub.released("p"))
    other = hub.manifest(hub.released("q", bytes(range(7, 39)), bytes(range(9, 41))))
    for column in ("pid", "study_instance_uid", "series_instance_uid", "sop_instance_uid", "digest", "path"):
        assert {row[column] for row in one}.isdisjoint({row[column] for row in other}), column
    uids = [
        set(re.findall(rb"2\.25\.\d{20,}", b"".join(hub.objects.get(str(row["digest"])) for row in rows)))
        for rows in (one, other)
    ]
    shared = uids[0] & uids[1]
    assert shared == {b"2.25.263480093512402717293312478346239217473"}, "our implementation's own UID only"


def test_a_preparation_that_was_killed_goes_on_where_it_stopped(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    found = hub.request()
    assert isinstance(found, RequestedRelease)
    monkeypatch.setattr(releases, "_BATCH_INSTANCES", 2)
    written: list[int] = []
    real = ObjectStore.put

    def put(self: ObjectStore, buffers: list[bytes]) -> object:
        written.append(1)
        if len(written) == 4:
            raise KeyboardInterrupt
        return real(self, buffers)

    monkeypatch.setattr(ObjectStore, "put", put)
    with pytest.raises(KeyboardInterrupt):
        releases.prepare(hub.database.login(Login.WORKER), hub.objects, found.id, PID_KEY, UID_KEY)
    assert hub.row(found.id)[0] == "PREPARING"
    with hub.database.begin(Login.WORKER) as connection:
        assert releases.list_preparing(connection) == [found.id]
        assert releases.find_project(connection, found.id) == "p"
    releases.prepare(hub.database.login(Login.WORKER), hub.objects, found.id, PID_KEY, UID_KEY)
    assert len(written) == 4 + 4 + 1, "two were there, four were left, and the manifest"
    first = hub.row(found.id)
    releases.prepare(hub.database.login(Login.WORKER), hub.objects, found.id, PID_KEY, UID_KEY)
    assert hub.row(found.id) == first
    with hub.database.begin(Login.WORKER) as connection:
        releases.mark_failed(connection, found.id)
        assert releases.list_preparing(connection) == []
        assert isinstance(trail.verify(connection), int)
    assert hub.row(found.id) == first, "what is ready stays so"


def test_one_series_that_waits_for_review_denies_the_whole_request(hub: Hub) -> None:
    review(hub, "PENDING")
    assert hub.request() == Denied(DenialReason.NOT_REVIEWED, 1)
    review(hub, "REJECTED")
    assert hub.request() == Denied(DenialReason.REJECTED_IN_REVIEW, 1)
    review(hub, "APPROVED")
    found = hub.request()
    assert isinstance(found, RequestedRelease)
    assert hub.request() == RequestedRelease(found.id, new=False), "asking twice is one release"
    with hub.database.begin(Login.WEB) as connection:
        denied = connection.execute(
            text("SELECT detail ->> 'reason' FROM audit.entry WHERE action = 'access-denied' ORDER BY sequence")
        ).scalars()
        assert list(denied) == ["not-reviewed", "rejected-in-review"]


def review(hub: Hub, state: str) -> None:
    with hub.database.begin(Login.WORKER) as connection:
        connection.execute(
            text("UPDATE hub.series SET review_state = :state WHERE series_instance_uid = :uid"),
            {"state": state, "uid": ours("series 1")},
        )


@pytest.mark.parametrize("state", ["PENDING", "REJECTED"])
def test_a_series_that_loses_its_approval_while_a_release_is_prepared_stops_it(hub: Hub, state: str) -> None:
    found = hub.request()
    assert isinstance(found, RequestedRelease)
    review(hub, state)
    with pytest.raises(HubError) as refused:
        releases.prepare(hub.database.login(Login.WORKER), hub.objects, found.id, PID_KEY, UID_KEY)
    assert refused.value.code == "not-releasable"
    assert hub.row(found.id)[0] == "PREPARING"


def test_a_series_that_changed_since_it_was_frozen_is_not_released(hub: Hub) -> None:
    with hub.database.begin(Login.WORKER) as connection:
        connection.execute(text("UPDATE hub.series SET content_digest = 'other'"))
    assert hub.request() == Denied(DenialReason.CHANGED_SINCE_FROZEN, 2)


def test_a_late_instance_leaves_a_release_as_it_was_and_asks_for_a_new_cohort(hub: Hub) -> None:
    """T18."""

    def bytes_of(release: str) -> list[bytes]:
        return [hub.objects.get(hub.row(release)[1])] + [
            hub.objects.get(str(one["digest"])) for one in hub.manifest(release)
        ]

    release = hub.released()
    before = (hub.row(release), bytes_of(release))
    late = a_slice(ours("study 1"), ours("series 1"), 9, "S-1")
    archive(hub.database, [deidentified(late)], hub.objects, sid="1" * 32, pseudonym="S-1")
    assert (hub.row(release), bytes_of(release)) == before
    assert hub.request("q") == Denied(DenialReason.CHANGED_SINCE_FROZEN, 1)


def test_a_request_needs_a_permit_of_the_project_in_force(hub: Hub) -> None:
    assert hub.request(today=TODAY + timedelta(days=1)) == Denied(DenialReason.PERMIT_EXPIRED)
    assert hub.request(actor=RequestActor("bob", AccountRole.RESEARCHER)) == Denied(DenialReason.NOT_A_HOLDER)
    with hub.database.begin(Login.WEB) as connection:
        other = releases.request(connection, actor=ADA, cohort="cohort-p", permit_id=hub.permits["q"], today=TODAY)
        nobody = releases.request(connection, actor=ADA, cohort="cohort-p", permit_id=None, today=TODAY)
        with pytest.raises(NotFound):
            releases.request(connection, actor=ADA, cohort="cohort-0", permit_id=None, today=TODAY)
    assert other == Denied(DenialReason.OTHER_PROJECT)
    assert nobody == Denied(DenialReason.NO_PERMIT)
    with hub.database.begin(Login.WORKER) as connection:
        projects.revoke(connection, hub.permits["p"], by="op")
    assert hub.request() == Denied(DenialReason.PERMIT_REVOKED)


def test_workers_hear_of_a_release_that_was_asked_for(hub: Hub) -> None:
    with psycopg.connect(hub.database.conninfo(Login.WORKER), autocommit=True) as line:
        line.execute(sql.SQL("LISTEN {}").format(sql.Identifier(DUE_CHANNEL)))
        hub.request()
        assert [heard.channel for heard in line.notifies(timeout=30, stop_after=1)] == [DUE_CHANNEL]


def test_an_instance_that_still_names_the_archives_patient_is_a_fault() -> None:
    for attributes in (
        {"ImageComments": f"see {PSEUDONYM}"},
        {"ImageComments": f"see {ours('another series')}"},
    ):
        instance = deidentified(slice_of(ours("study"), ours("series"), 1, SOPInstanceUID=ours("one"), **attributes))
        with pytest.raises(HubError) as refused:
            rewrite(b"".join(bytes(part) for part in instance.part10), PSEUDONYM, "P-X", UID_KEY)
        assert refused.value.code == "residual-pseudonym"


@pytest.mark.parametrize("name", ["JPEG2000.dcm", "CT_small.dcm", "MR_small_RLE.dcm"])
def test_pixel_data_pass_untouched_in_every_encoding(name: str) -> None:
    source = from_file(name, SOPInstanceUID=ours("one"), SeriesInstanceUID=ours("two"), StudyInstanceUID=ours("three"))
    file = b"".join(bytes(part) for part in deidentified(source).part10)
    copy = dcmread(io.BytesIO(b"".join(bytes(part) for part in rewrite(file, PSEUDONYM, "P-X", UID_KEY))))
    assert copy.file_meta.TransferSyntaxUID == source.file_meta.TransferSyntaxUID
    assert bytes(copy.PixelData) == bytes(source.PixelData)
    assert np.array_equal(copy.pixel_array, source.pixel_array)
    assert copy.PatientID == "P-X"


def test_the_project_pseudonym_is_the_one_the_third_party_describes() -> None:
    assert project_pseudonym(PID_KEY, "a" * 32) == pseudonym_chain.project_pseudonym(PID_KEY, "a" * 32)
