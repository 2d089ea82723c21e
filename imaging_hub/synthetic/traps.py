"""Rows of each kind that the mandatory filters drop, written on purpose: none may become an event."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from imaging_hub.synthetic.claims import MISSING_DATE, Claims, write_external_act, write_line, write_stay
from imaging_hub.synthetic.pathways import ELSEWHERE, Care, Exam, Stay
from imaging_hub.synthetic.people import HOSPITALS, START, Hospital, Person

_DUPLICATE_FINESS = "130014558"
_UNUSABLE_FINESS = "750712184"


def write_traps(claims: Claims, people: list[Person], care: list[Care], rng: np.random.Generator) -> None:
    """Write rows of every kind for people chosen by `rng`, and count them in `claims.traps`."""
    candidates = [person for person in people if not person.twin and person.policies[0].ano_known]
    count = max(3, len(people) // 50)

    def chosen() -> list[Person]:
        return [candidates[int(place)] for place in rng.integers(0, len(candidates), count)]

    for person in chosen():
        _reversed_line(claims, person, _random_day(rng))
    for person in chosen():
        _dropped_line(claims, person, _random_day(rng), "ZBQH001", kind="dpn-qlf-71", dpn_qlf=71)
        _dropped_line(claims, person, _random_day(rng), "ZBQH001", kind="public-external-in-dcir", taa=1)
        _dropped_line(claims, person, _random_day(rng), "YYYY600", kind="supplement")
        _dropped_line(claims, person, MISSING_DATE, "ZBQH001", kind="date-missing")
    for person in chosen():
        _dropped_stays(claims, person, rng)
    for person in chosen():
        exam = Exam(person, HOSPITALS[0], _random_day(rng), "ZBQH001")
        write_external_act(claims, exam, "ZBQH001", sex_ret="1")
        write_external_act(claims, exam, "ZBQH001", activity="4")
        write_external_act(claims, exam, "YYYY467")
        unusable = Exam(person, _hospital(_UNUSABLE_FINESS), exam.day, "ZBQH001")
        write_external_act(claims, unusable, "ZBQH001")
        claims.traps.update({"return-code": 1, "activity-4": 1, "supplement": 1, "external-finess": 1})
    for person in chosen():
        _not_an_ald(claims, person, _random_day(rng))
    for exam in [item for item in care if isinstance(item, Exam) and item.hospital.sector == "private"][:count]:
        _corrected_line(claims, exam)


def _dropped_stays(claims: Claims, person: Person, rng: np.random.Generator) -> None:
    def stay(finess: str, principal: str = "C349", ghm: str = "04M092", day: date | None = None) -> Stay:
        return Stay(person, finess, day or _random_day(rng), 3, principal, ghm, acts=[("ZBQH001", 0)])

    write_stay(claims, stay(HOSPITALS[0].finess, ghm="90Z00Z"))
    write_stay(claims, stay(HOSPITALS[0].finess), nir_ret="1")
    write_stay(claims, stay(HOSPITALS[0].finess), nir="XXXXXXXXXXXXXXXXD")
    write_stay(claims, stay(HOSPITALS[0].finess), sej_typ="B")
    write_stay(claims, stay(_DUPLICATE_FINESS, day=START + timedelta(days=int(rng.integers(0, 300)))))
    claims.traps.update({"ghm-90": 1, "return-code": 1, "no-nir": 1, "sej-typ-b": 1, "finess-duplicate": 1})


def _dropped_line(
    claims: Claims, person: Person, day: date, ccam: str, *, kind: str, dpn_qlf: int = 0, taa: int | None = 0
) -> None:
    key = write_line(claims, person, day, 1351, 1, finess=ELSEWHERE[1].finess, dpn_qlf=dpn_qlf, taa=taa)
    part = f"{key['FLX_DIS_DTD']:%Y%m}"
    claims.add("ER_CAM_F", part, **key, CAM_PRS_IDE=ccam, CAM_ACT_COD="1", CAM_TRT_PHA=0)
    claims.traps[kind] += 1


def _reversed_line(claims: Claims, person: Person, day: date) -> None:
    """Write a line and its reversal, which cancel out."""
    for quantity in (1, -1):
        _write_signed_line(claims, person, day, "ZBQH001", quantity=quantity, finess=ELSEWHERE[1].finess)
    claims.traps["regularised"] += 2


def _corrected_line(claims: Claims, exam: Exam) -> None:
    """Write a reversal and a new line beside an act's line, which still count once."""
    for quantity in (-1, 1):
        _write_signed_line(claims, exam.person, exam.day, exam.ccam, quantity=quantity, finess=exam.hospital.finess)


def _write_signed_line(claims: Claims, person: Person, day: date, ccam: str, *, quantity: int, finess: str) -> None:
    key = write_line(claims, person, day, 1351, quantity, finess=finess)
    claims.add("ER_CAM_F", f"{key['FLX_DIS_DTD']:%Y%m}", **key, CAM_PRS_IDE=ccam, CAM_ACT_COD="1", CAM_TRT_PHA=0)


def _not_an_ald(claims: Claims, person: Person, day: date) -> None:
    policy = person.policy(day)
    for nature, start, kind in ((12, day, "not-ald"), (41, MISSING_DATE, "date-missing")):
        claims.add(
            "IR_IMB_R", "", BEN_NIR_PSA=policy.psa, BEN_RNG_GEM=policy.rank, IMB_ALD_NUM=30, MED_MTF_COD="C349",
            MED_NCL_IDT="CIM10", IMB_ALD_DTD=start, IMB_ALD_DTF=MISSING_DATE, IMB_ETM_NAT=nature,
        )  # fmt: skip
        claims.traps[kind] += 1


def _hospital(finess: str) -> Hospital:
    return Hospital("", finess, "public", "", "")


def _random_day(rng: np.random.Generator) -> date:
    return START + timedelta(days=int(rng.integers(30, 1700)))
