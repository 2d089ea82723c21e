"""From headers to links, on patients whose true identities are known."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest
from pydicom import dcmread
from sqlalchemy import text
from stdnum.fr import nir
from synthetic_snds import SyntheticSnds, synthetic_snds

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.dicom import part10, values, walk
from imaging_hub.errors import LinkageError
from imaging_hub.keys.keyring import create_missing, gateway_keys, hub_keys
from imaging_hub.keys.pseudonym_chain import ipp_message, level1
from imaging_hub.pseudonymisation import identity, ins, snds_delivery
from imaging_hub.pseudonymisation.identity import ContestedIdentity, PatientIdentity
from imaging_hub.pseudonymisation.ins import QualifiedIns, UnqualifiedIns
from imaging_hub.pseudonymisation.pseudonyms import subject_pseudonyms
from imaging_hub.pseudonymisation.third_party_client import ThirdParty
from imaging_hub.snds.direct_linkage import LinkReport, import_return
from imaging_hub.synthetic import snds_operator
from imaging_hub.synthetic.snds_operator import RETURN_COLUMNS
from imaging_hub.trust.vault import Vault


@pytest.fixture(scope="module")
def snds() -> SyntheticSnds:
    return synthetic_snds()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    create_missing(tmp_path / "keys")
    return tmp_path / "keys"


def registered(database: Database, third_party: ThirdParty, keys: Path, hospital: str, patient_id: str, reading):
    with database.begin(DatabaseRole.WORKER) as connection:
        return identity.register(
            connection, gateway_keys(keys), third_party, hospital=hospital, patient_id=patient_id, reading=reading
        )


def archived(database: Database, keys: Path, sid: str, hospital: str = "CHU") -> None:
    """The subject as the archive knows it, whose rows are not at issue here."""
    with database.begin(DatabaseRole.WORKER) as connection:
        connection.execute(
            text("INSERT INTO hub.subject (sid, pseudonym) VALUES (:sid, :pseudonym) ON CONFLICT DO NOTHING"),
            {"sid": sid, "pseudonym": subject_pseudonyms(hub_keys(keys), sid, hospital).patient},
        )


def received(
    database: Database, third_party: ThirdParty, keys: Path, snds: SyntheticSnds
) -> dict[tuple[str, str], PatientIdentity]:
    """Every synthetic patient, registered from the header of a file of each study."""
    found = {}
    for study in snds.truth["studies"]:
        meta, encoded = part10.split(next((snds.folder / study["folder"]).rglob("*.dcm")).read_bytes())
        dataset = walk.read(encoded, meta.transfer_syntax_uid)
        patient_id = values.text_at(dataset, 0x00100020)
        assert patient_id == study["ipp"]
        who = registered(database, third_party, keys, study["hospital"], patient_id, ins.read(dataset, "demonstration"))
        assert isinstance(who, PatientIdentity)
        archived(database, keys, who.sid)
        found[study["hospital"], patient_id] = who
    return found


def linked(database: Database, third_party: ThirdParty, folder: Path, snds: SyntheticSnds) -> LinkReport:
    """One delivery, there and back."""
    outgoing, answer = folder / "out.csv", folder / "return.csv"
    with database.begin(DatabaseRole.GATEWAY) as connection:
        sent = snds_delivery.export(connection, third_party, outgoing, actor="test")
    assert outgoing.stat().st_mode & 0o777 == 0o600
    snds_operator.answer_delivery(outgoing, snds.folder / "operator", answer)
    outgoing.unlink()
    with database.begin(DatabaseRole.WORKER) as connection:
        report = import_return(
            connection, answer, delivery=sent.id, resolve=lambda some: third_party.resolve(sent.id, some), actor="test"
        )
    assert third_party.destroy(sent.id) == sent.subjects
    return report


def links(database: Database) -> dict[str, str]:
    with database.begin(DatabaseRole.WORKER) as connection:
        rows = connection.execute(text("SELECT sid, snds_person FROM hub.link"))
        return {row.sid: row.snds_person for row in rows}


def test_links_are_all_true_and_as_many_as_patients_have_a_qualified_ins(
    database: Database, third_party: ThirdParty, keys: Path, snds: SyntheticSnds, tmp_path: Path
) -> None:
    found = received(database, third_party, keys, snds)
    report = linked(database, third_party, tmp_path, snds)
    persons = {person["id"]: person["snds_person"] for person in snds.truth["persons"]}
    made, true, right = links(database), 0, 0
    for patient in snds.truth["patients"]:
        person = made.get(found[patient["hospital"], patient["ipp"]].sid)
        true += person is not None
        right += person == persons[patient["person"]]
    linkable = sum(patient["linkable"] for patient in snds.truth["patients"])
    assert right == true  # precision 1.0
    assert right == linkable > 20  # recall: the share of patients with a valid qualified INS
    assert report.linked == len(made) == len({p["person"] for p in snds.truth["patients"] if p["linkable"]})
    assert report.lines == report.linked


def test_a_second_run_changes_nothing(
    database: Database, third_party: ThirdParty, keys: Path, snds: SyntheticSnds, tmp_path: Path
) -> None:
    first = received(database, third_party, keys, snds)
    linked(database, third_party, tmp_path, snds)
    before = links(database)
    assert {key: who.sid for key, who in received(database, third_party, keys, snds).items()} == {
        key: who.sid for key, who in first.items()
    }
    again = linked(database, third_party, tmp_path, snds)
    assert (again.linked, again.unchanged, links(database)) == (0, len(before), before)


def test_refusals_are_counted_by_reason(
    database: Database, third_party: ThirdParty, keys: Path, snds: SyntheticSnds
) -> None:
    received(database, third_party, keys, snds)
    states = Counter(patient["ins_state"] for patient in snds.truth["patients"])
    with database.begin(DatabaseRole.GATEWAY) as connection:
        rows = connection.execute(text("SELECT coalesce(refused, ''), count(*) FROM identifying.identity GROUP BY 1"))
        reasons = dict(tuple(row) for row in rows)
    expected = {
        "": "qualified",
        "no-ins": "none",
        "ins-key": "wrong-key",
        "ins-not-validated": "not-validated",
        "ins-nia": "nia",
    }
    assert reasons == {reason: states[state] for reason, state in expected.items()}


def test_no_table_beyond_the_identifying_zone_holds_a_nir(
    database: Database, vault: Vault, third_party: ThirdParty, keys: Path, snds: SyntheticSnds, tmp_path: Path
) -> None:
    received(database, third_party, keys, snds)
    linked(database, third_party, tmp_path, snds)
    assert nirs_in(database, "identifying"), "the scan must find what is there"
    for schema in ("hub", "audit", "work"):
        assert nirs_in(database, schema) == [], schema
    for schema in ("trust", "audit"):
        assert nirs_in(vault.database, schema) == [], schema


def nirs_in(database: Database, schema: str) -> list[str]:
    """Tables of a schema in which a NIR with a right key, or any synthetic one without, stands."""
    shape = re.compile(r"(?<![0-9A-Za-z])[1-478]\d{4}(?:\d{2}|2[AB])\d{6}(\d{2})?(?![0-9A-Za-z])")
    known = {person["ins"][:13] for person in synthetic_snds().truth["persons"]}
    found = []
    with database.begin(DatabaseRole.OWNER) as connection:
        tables = connection.execute(
            text("SELECT table_name FROM information_schema.tables WHERE table_schema = :schema"), {"schema": schema}
        ).scalars()
        for table in list(tables):
            for row in connection.execute(text(f'SELECT CAST(t AS text) FROM {schema}."{table}" t')).scalars():
                matches = [match.group() for match in shape.finditer(row)]
                if any(nir.is_valid(one) or one[:13] in known for one in matches):
                    found.append(table)
    return found


WOMAN = QualifiedIns("279035121518989", date(1979, 3, 1), "2")
OTHER = QualifiedIns("253072B07300470", date(1953, 7, 1), "2")


def test_one_person_is_one_subject_in_every_hospital(database: Database, third_party: ThirdParty, keys: Path) -> None:
    here = registered(database, third_party, keys, "CHU", "1", WOMAN)
    there = registered(database, third_party, keys, "CH", "77", WOMAN)
    stranger = registered(database, third_party, keys, "CH", "1", UnqualifiedIns("no-ins"))
    assert here.sid == there.sid != stranger.sid
    assert re.fullmatch(r"[0-9a-f]{32}", here.sid)


def test_the_subject_of_the_ins_wins_when_it_comes_later(
    database: Database, third_party: ThirdParty, keys: Path
) -> None:
    early = registered(database, third_party, keys, "CHU", "1", UnqualifiedIns("no-ins"))
    late = registered(database, third_party, keys, "CHU", "1", WOMAN)
    after = registered(database, third_party, keys, "CHU", "1", UnqualifiedIns("no-ins"))
    assert not early.linkable
    assert late.linkable and after.linkable
    assert early.sid != late.sid == after.sid
    assert third_party.subject(level1(gateway_keys(keys).key("level1"), ipp_message("CHU", "1")), "IPP") == late.sid


def test_two_identities_under_one_number_are_contested_for_good(
    database: Database, third_party: ThirdParty, keys: Path, tmp_path: Path
) -> None:
    registered(database, third_party, keys, "CHU", "1", WOMAN)
    assert registered(database, third_party, keys, "CHU", "1", OTHER) == ContestedIdentity("ins-conflict")
    assert registered(database, third_party, keys, "CHU", "1", WOMAN) == ContestedIdentity("ins-conflict")
    assert registered(database, third_party, keys, "CHU", "", WOMAN) == ContestedIdentity("patient-id-missing")
    with database.begin(DatabaseRole.GATEWAY) as connection:
        assert snds_delivery.export(connection, third_party, tmp_path / "out.csv", actor="test").subjects == 0


def a_subject(name: str) -> str:
    """A random number that the test can tell from others."""
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


A, B, C, D, ELSEWHERE = map(a_subject, ("a", "b", "c", "d", "elsewhere"))
DELIVERY = "delivery-0123456789abcdef"


def answered(database: Database, third_party: ThirdParty, folder: Path, persons: dict[str, str]) -> LinkReport:
    """Import an answer that gives each sid the person the test wants."""
    issued = third_party.issue_id_acc(persons, DELIVERY, timedelta(days=1))
    answer = folder / "answer.csv"
    lines = [RETURN_COLUMNS, *((issued[sid], person) for sid, person in persons.items())]
    answer.write_text("".join(f"{a};{b}\n" for a, b in lines), "ascii")
    with database.begin(DatabaseRole.WORKER) as connection:
        report = import_return(
            connection, answer, delivery=DELIVERY, resolve=lambda some: third_party.resolve(DELIVERY, some),
            actor="test",
        )  # fmt: skip
    assert report.lines == sum(
        getattr(report, name) for name in report.__dataclass_fields__ if name != "lines"
    )  # every line is accounted for
    third_party.destroy(DELIVERY)
    return report


def test_what_is_not_one_to_one_is_counted_and_not_linked(
    database: Database, third_party: ThirdParty, keys: Path, tmp_path: Path
) -> None:
    for sid in (A, B, C, D):
        archived(database, keys, sid)
    report = answered(database, third_party, tmp_path, {A: "X", B: "X", C: "Y", D: "", ELSEWHERE: "Z"})
    assert (report.collisions, report.linked, report.not_found, report.not_archived) == (2, 1, 1, 1)
    assert links(database) == {C: "Y"}
    report = answered(database, third_party, tmp_path, {A: "Y", C: "Z"})
    assert (report.changed, links(database)) == (2, {C: "Y"})


@pytest.mark.parametrize("content", ["", "a;b\n1;2\n", "id_acc;BEN_NIR_ANO\n1\n", "id_acc;BEN_NIR_ANO\n1;2;3\n", "é\n"])
def test_a_file_that_is_no_answer_is_refused(database: Database, tmp_path: Path, content: str) -> None:
    answer = tmp_path / "answer.csv"
    answer.write_text(content, "utf-8")
    with pytest.raises(LinkageError), database.begin(DatabaseRole.WORKER) as connection:
        import_return(connection, answer, delivery="d", resolve=lambda _: {}, actor="test")


def test_the_synthetic_hospitals_hold_what_the_truth_says(snds: SyntheticSnds) -> None:
    files = {path: dcmread(path, stop_before_pixels=True) for path in (snds.folder / "dicom").rglob("*.dcm")}
    written = {str(one.SOPInstanceUID) for one in files.values()}
    assert written == {
        uid for study in snds.truth["studies"] for series in study["series"] for uid in series["sop_instance_uids"]
    }
    assert len(written) == len(files)
