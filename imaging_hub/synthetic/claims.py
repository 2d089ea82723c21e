"""Claims of the pathways as rows of SNDS tables, and the events that a correct load makes of them.

Rows that must not become an event are written by `traps`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np

from imaging_hub.synthetic.pathways import Care, Drug, Exam, LongTermDisease, Stay, cip13_by_atc
from imaging_hub.synthetic.people import Person

MISSING_DATE = date(1600, 1, 1)
BLOOD_COUNT = "1104"
OXYGEN = "1136581"
DRUG_UNIT = "9990001"  # invented, as CIP13 are
ClaimRow = dict[str, object]
TrueEvent = dict[str, object]


@dataclass
class Claims:
    """Rows of SNDS tables, and the events that a correct load makes of them."""

    rng: np.random.Generator
    rows: dict[tuple[str, str], list[ClaimRow]] = field(default_factory=dict)
    """By table and its year (`19`) or flux month (`201903`), empty when there is one file."""
    events: list[TrueEvent] = field(default_factory=list)
    excluded: list[TrueEvent] = field(default_factory=list)
    """Events that the claims cannot attribute to one person, with `reason`."""
    traps: Counter[str] = field(default_factory=Counter)
    """Rows that must not become an event, by kind."""
    _numbers: Counter[str] = field(default_factory=Counter)

    def add(self, table: str, part: str, **columns: object) -> None:
        """Add a row."""
        self.rows.setdefault((table, part), []).append(columns)

    def next_number(self, sequence: str) -> int:
        """Return the next number of a sequence."""
        self._numbers[sequence] += 1
        return self._numbers[sequence]

    def record(self, person: Person, day: date, source: str, **columns: object) -> None:
        """Record the event that a correct load makes of this care, or that it cannot attribute it."""
        event: TrueEvent = {"person": person.snds_person, "source_table": source, **columns}
        reason = _exclusion_reason(person, day, source)
        if reason:
            self.excluded.append({**event, "reason": reason})
        else:
            self.events.append(event)


def _exclusion_reason(person: Person, day: date, source: str) -> str:
    policy = person.policy(day)
    if policy.cdi not in ("00", "03", "04"):
        return "fictive-nir"
    if person.twin and (source.startswith("T_MCO") or not policy.ano_known):
        return "shared-psa"
    return ""


def write_beneficiary(claims: Claims, person: Person) -> None:
    """Write IR_BEN_R: a row for each policy; most dates of death are the missing date 1600-01-01."""
    death = person.death_date or MISSING_DATE
    for policy in person.policies:
        known = policy.ano_known
        claims.add(
            "IR_BEN_R", "", BEN_NIR_PSA=policy.psa, BEN_RNG_GEM=policy.rank,
            BEN_NIR_ANO=person.nir_ano if known else None,
            BEN_IDT_ANO=person.nir_ano if known else f"{policy.psa}{policy.rank}", BEN_IDT_TOP=int(known),
            BEN_CDI_NIR=policy.cdi, BEN_NAI_ANN=f"{person.birth_date:%Y}", BEN_NAI_MOI=f"{person.birth_date:%m}",
            BEN_SEX_COD=int(person.sex), BEN_DCD_DTE=death, BEN_DCD_AME=f"{death:%Y%m}",
            BEN_RES_DPT=person.department.rjust(3, "0"), BEN_RES_COM=person.commune,
        )  # fmt: skip
    if person.death_date:
        day = person.death_date
        claims.record(person, day, "IR_BEN_R", **_event("death", "SNDS", "DEATH", day, day))


def write_care(claims: Claims, care: Care) -> None:
    """Write the rows and record the events of one item of care."""
    match care:
        case Stay():
            _record_stay(claims, care)
        case Exam() if care.claimed and care.inpatient is None:
            (_record_external_act if care.hospital.sector == "public" else _record_private_act)(claims, care)
        case Drug():
            _record_drug(claims, care)
        case LongTermDisease():
            _record_long_term_disease(claims, care)


def write_stay(claims: Claims, stay: Stay, *, sej_typ: str = "A", nir: str | None = None, nir_ret: str = "0") -> None:
    """Write T_MCOaaB, C, A, D and UM of a stay, in the year of its end."""
    aa, rsa = f"{stay.exit:%y}", f"{claims.next_number('RSA'):010d}"
    key: ClaimRow = {"ETA_NUM": stay.finess, "RSA_NUM": rsa}
    person = stay.person
    claims.add(
        "T_MCOaaB", aa, **key, DGN_PAL=stay.principal, DGN_REL=stay.related or None, GRG_GHM=stay.ghm, SEJ_TYP=sej_typ,
        SEJ_NBJ=stay.nights, AGE_ANN=stay.entry.year - person.birth_date.year, COD_SEX=person.sex,
        SOR_ANN=f"{stay.exit:%Y}", SOR_MOI=f"{stay.exit:%m}",
    )  # fmt: skip
    claims.add(
        "T_MCOaaC", aa, **key, NIR_ANO_17=nir or person.policy(stay.entry).psa, EXE_SOI_DTD=_sas_datetime(stay.entry),
        EXE_SOI_DTF=_sas_datetime(stay.exit), ENT_DAT=f"{stay.entry:%d%m%Y}", NIR_RET=nir_ret, NAI_RET="0", SEX_RET="0",
        SEJ_RET="0", FHO_RET="0", PMS_RET="0", DAT_RET="0",
    )  # fmt: skip
    claims.add("T_MCOaaUM", aa, **key, DGN_PAL=stay.principal, DGN_REL=stay.related or None, ETA_NUM_GEO=stay.finess)
    for code in stay.associated:
        claims.add("T_MCOaaD", aa, **key, ASS_DGN=code)
    for code, delay in stay.acts:
        claims.add("T_MCOaaA", aa, **key, CDC_ACT=code, ENT_DAT_DEL=delay, PHA_ACT="0", ACV_ACT="1")
        if code.startswith("ACQN"):
            claims.add("T_MCOaaA", aa, **key, CDC_ACT=code, ENT_DAT_DEL=delay, PHA_ACT="0", ACV_ACT="4")
            claims.traps["activity-4"] += 1


def _record_stay(claims: Claims, stay: Stay) -> None:
    write_stay(claims, stay)

    def record(source: str, what: tuple[str, str, str], position: str | None = None, qty: float | None = None) -> None:
        event = _event(*what, stay.entry, stay.exit, position=position, qty=qty, finess=stay.finess[:8])
        claims.record(stay.person, stay.entry, source, **event)

    record("T_MCOaaB", ("stay", "GHM", stay.ghm), qty=float(stay.nights))
    record("T_MCOaaB", ("diagnosis", "CIM10", stay.principal), "DP")
    record("T_MCOaaUM", ("diagnosis", "CIM10", stay.principal), "UM")
    if stay.related:
        record("T_MCOaaB", ("diagnosis", "CIM10", stay.related), "DR")
        record("T_MCOaaUM", ("diagnosis", "CIM10", stay.related), "UM")
    for code in stay.associated:
        record("T_MCOaaD", ("diagnosis", "CIM10", code), "DAS")
    for code, delay in stay.acts:
        day = stay.entry + timedelta(days=delay)
        what = _event("act", "CCAM", code, day, day, qty=1.0, finess=stay.finess[:8])
        claims.record(stay.person, stay.entry, "T_MCOaaA", **what)


def write_external_act(claims: Claims, exam: Exam, code: str, *, activity: str = "1", sex_ret: str = "0") -> None:
    """Write T_MCOaaCSTC and FMSTC of an act for an outpatient of a public hospital."""
    aa = f"{exam.day:%y}"
    key: ClaimRow = {"ETA_NUM": exam.hospital.finess, "SEQ_NUM": f"{claims.next_number('SEQ'):08d}"}
    claims.add(
        "T_MCOaaCSTC", aa, **key, NIR_ANO_17=exam.person.policy(exam.day).psa, EXE_SOI_DTD=exam.day,
        EXE_SOI_DTF=exam.day, NIR_RET="0", NAI_RET="0", SEX_RET=sex_ret, IAS_RET="0", ENT_DAT_RET="0",
    )  # fmt: skip
    claims.add(
        "T_MCOaaFMSTC", aa, **key, CCAM_COD=code, DEL_DAT_ENT=0, PHA_ACT="0", ACV_ACT=activity,
        ETA_NUM_GEO=exam.hospital.finess,
    )  # fmt: skip


def _record_external_act(claims: Claims, exam: Exam) -> None:
    write_external_act(claims, exam, exam.ccam)
    claims.record(exam.person, exam.day, "T_MCOaaFMSTC", **_act_event(exam))


def _record_private_act(claims: Claims, exam: Exam) -> None:
    key = write_line(claims, exam.person, exam.day, 1351, 1, finess=exam.hospital.finess)
    part = f"{key['FLX_DIS_DTD']:%Y%m}"
    claims.add("ER_CAM_F", part, **key, CAM_PRS_IDE=exam.ccam, CAM_ACT_COD="1", CAM_TRT_PHA=0)
    claims.record(exam.person, exam.day, "ER_CAM_F", **_act_event(exam))


def _record_drug(claims: Claims, drug: Drug) -> None:
    key = write_line(claims, drug.person, drug.day, 3313, drug.boxes)
    part = f"{key['FLX_DIS_DTD']:%Y%m}"
    claims.add("ER_PHA_F", part, **key, PHA_PRS_C13=cip13_by_atc()[drug.atc], PHA_ACT_QSN=drug.boxes)
    for domain, system, code in (("drug", "ATC", drug.atc), ("package", "CIP13", str(cip13_by_atc()[drug.atc]))):
        what = _event(domain, system, code, drug.day, drug.day, qty=float(drug.boxes))
        claims.record(drug.person, drug.day, "ER_PHA_F", **what)


def _record_long_term_disease(claims: Claims, ald: LongTermDisease) -> None:
    policy = ald.person.policy(ald.start)
    claims.add(
        "IR_IMB_R", "", BEN_NIR_PSA=policy.psa, BEN_RNG_GEM=policy.rank, IMB_ALD_NUM=ald.number, MED_MTF_COD=ald.icd10,
        MED_NCL_IDT="CIM10", IMB_ALD_DTD=ald.start, IMB_ALD_DTF=ald.end or MISSING_DATE, IMB_ETM_NAT=41,
    )  # fmt: skip
    both = (("ald", "ALD", str(ald.number), None), ("diagnosis", "CIM10", ald.icd10, "ALD"))
    for domain, system, code, position in both:
        what = _event(domain, system, code, ald.start, ald.end, position=position)
        claims.record(ald.person, ald.start, "IR_IMB_R", **what)


def write_tests_and_causes(claims: Claims, person: Person, care: Sequence[Care]) -> None:
    """Write the tables that later extractions added: laboratory tests, devices, drugs by unit and causes of death."""
    for item in care:
        if isinstance(item, LongTermDisease):
            key = write_line(claims, person, item.start, 3211, 1)
            claims.add("ER_BIO_F", f"{key['FLX_DIS_DTD']:%Y%m}", **key, BIO_PRS_IDE=int(BLOOD_COUNT), BIO_ACT_QSN=1)
            what = _event("biology", "NABM", BLOOD_COUNT, item.start, item.start, qty=1.0)
            claims.record(person, item.start, "ER_BIO_F", **what)
        if isinstance(item, LongTermDisease) and item.icd10.startswith("J44"):
            key = write_line(claims, person, item.start, 3471, 4)
            claims.add("ER_TIP_F", f"{key['FLX_DIS_DTD']:%Y%m}", **key, TIP_PRS_IDE=int(OXYGEN), TIP_ACT_QSN=4)
            what = _event("device", "LPP", OXYGEN, item.start, item.start, qty=4.0)
            claims.record(person, item.start, "ER_TIP_F", **what)
        if isinstance(item, Stay) and item.ghm.startswith("28Z"):
            key = write_line(claims, person, item.entry, 3317, 1)
            claims.add("ER_UCD_F", f"{key['FLX_DIS_DTD']:%Y%m}", **key, UCD_UCD_COD=DRUG_UNIT, UCD_DLV_NBR=2)
            claims.record(
                person, item.entry, "ER_UCD_F", **_event("drug", "UCD", DRUG_UNIT, item.entry, item.entry, qty=2.0)
            )
    if person.death_date and all(policy.ano_known and policy.cdi == "00" for policy in person.policies):
        day, number = person.death_date, f"{claims.next_number('DCD'):064d}"
        codes = {"lung": "C349", "stroke": "I639", "copd": "J449"}
        first = codes.get(person.disease, "R99")
        claims.add(
            "KI_CCI_R", "", DCD_IDT_ENC=number, DCD_IDT_TOP=1, BEN_IDT_ANO=person.nir_ano, BEN_DCD_DTE=day,
            DCD_CIM_COD=first,
        )  # fmt: skip
        claims.record(person, day, "KI_CCI_R", **_event("cause_of_death", "CIM10", first, day, day, position="CI"))
        claims.add("KI_ECD_R", "", DCD_IDT_ENC=number, ECD_CIM_COD="J960")
        claims.record(person, day, "KI_ECD_R", **_event("cause_of_death", "CIM10", "J960", day, day, position="CA"))


def write_line(
    claims: Claims, person: Person, day: date, nature: int, quantity: int, *, finess: str = "", dpn_qlf: int = 0,
    taa: int | None = 0,
) -> ClaimRow:  # fmt: skip
    """Write ER_PRS_F of one line, and ER_ETE_F when it has a hospital; returns its 9-column key."""
    lag = int(claims.rng.choice([1, 2, 3, 4, 5, 6], p=[0.55, 0.2, 0.1, 0.07, 0.05, 0.03]))
    months = day.year * 12 + day.month - 1 + lag
    flux = date(months // 12, months % 12 + 1, 1)
    key: ClaimRow = {
        "DCT_ORD_NUM": claims.next_number("DCT"), "FLX_DIS_DTD": flux, "FLX_EMT_ORD": 0, "FLX_EMT_NUM": 1,
        "FLX_EMT_TYP": 1, "FLX_TRT_DTD": day + timedelta(days=9), "ORG_CLE_NUM": "01C590001", "PRS_ORD_NUM": 1,
        "REM_TYP_AFF": 1,
    }  # fmt: skip
    policy, part = person.policy(day), f"{flux:%Y%m}"
    claims.add(
        "ER_PRS_F", part, **key, BEN_NIR_PSA=policy.psa, BEN_RNG_GEM=policy.rank, EXE_SOI_DTD=day, EXE_SOI_DTF=day,
        PRS_NAT_REF=nature, PRS_ACT_QTE=float(quantity), DPN_QLF=dpn_qlf, PRS_DPN_QLP=0, CPL_MAJ_TOP=0,
    )  # fmt: skip
    if finess:
        claims.add("ER_ETE_F", part, **key, ETB_EXE_FIN=finess[:8], ETE_IND_TAA=taa, PRS_PPU_SEC=2)
    return key


def _act_event(exam: Exam) -> TrueEvent:
    return _event("act", "CCAM", exam.ccam, exam.day, exam.day, qty=1.0, finess=exam.hospital.finess[:8])


def _event(
    domain: str, system: str, code: str, start: date, end: date | None, *, position: str | None = None,
    qty: float | None = None, finess: str | None = None,
) -> TrueEvent:  # fmt: skip
    return {
        "domain": domain, "code_system": system, "code": code, "position": position, "start": start, "end": end,
        "qty": qty, "finess": finess,
    }  # fmt: skip


def _sas_datetime(day: date) -> str:
    """Return a SAS datetime as in T_MCOaaC: `04MAR2019:00:00:00`."""
    return f"{day:%d%b%Y}:00:00:00".upper()
