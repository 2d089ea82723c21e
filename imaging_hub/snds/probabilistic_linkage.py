"""Probabilistic linkage of subjects that no rule finds: the Fellegi-Sunter model, with Splink 5 on DuckDB.

The rules require year of birth and sex to agree. The model weighs them against common exams, so that an error in a
header costs evidence and not the link. Weights of exams are estimated on subjects whose person is known by INS. Weights
of traits cannot be, since an INS is refused when traits differ, and are constants below.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
from splink import DuckDBAPI, Linker, SettingsCreator, block_on
from splink import comparison_level_library as levels
from splink import comparison_library as comparisons

from imaging_hub.snds.exam_claim_concordance import CascadeResult, ConcordantPerson

MIN_KNOWN_PAIRS = 200
"""Least number of known pairs to train the model on; with fewer there is no search."""
BANDS = (("probabilistic", 0.99), ("probable", 0.8))
"""Methods with their least probability; a pair below the last is dropped."""
_RIVAL = 0.5  # a pair is dropped when its subject or person has another pair of at least this probability
_SEX = (0.999, 0.001)
_BORN = (0.98, 0.012, 0.005, 0.003)
"""Probabilities that a header agrees with its person: on year and month, year, month with the year one off, neither."""
_PAIRS = 1e6
_SEED = 1

# Hospital and day must be a claim's; with the act, the day may be one off, as in one study of fifty.
_RECORDS = """
CREATE TABLE claim AS
  SELECT DISTINCT person, e."start" AS "day", e.code, left(e.finess, 8) AS finess FROM read_parquet($events) e
  WHERE e.code IN (SELECT code FROM act);
CREATE TABLE person AS
  SELECT concat('p', person) AS unique_id, person, sex, birth_year, birth_month,
    list(DISTINCT concat(finess, '|', "day")) AS visits, list(DISTINCT concat("day", '|', code)) AS acts
  FROM claim JOIN read_parquet($persons) USING (person) WHERE NOT shares_psa GROUP BY ALL;
CREATE TABLE subject AS
  SELECT concat('s', sid) AS unique_id, any_value(k.person) AS person, any_value(sex) AS sex,
    any_value(birth_year) AS birth_year, any_value(birth_month) AS birth_month,
    list(DISTINCT concat(finess, '|', "day")) AS visits,
    list_distinct(flatten(list(flatten([[concat("day" + aside, '|', act) FOR act IN acts] FOR aside IN [-1, 0, 1]]))))
      AS acts
  FROM exam LEFT JOIN known k USING (sid) GROUP BY sid;
"""
_SINGLE = """
CREATE TABLE pair AS
  SELECT substr(least(unique_id_l, unique_id_r), 2) AS person, substr(greatest(unique_id_l, unique_id_r), 2) AS sid,
    match_probability AS probability
  FROM predicted;
SELECT sid, person, probability FROM pair QUALIFY count(*) OVER (PARTITION BY sid) = 1
  AND count(*) OVER (PARTITION BY person) = 1 ORDER BY sid
"""
# A pair is dropped when fewer than half of the exams agree, or the person was dead, whatever its probability.
_AGREED = """
SELECT found.sid, found.person, probability, count(DISTINCT x."day") FILTER (agrees) AS days,
  count(DISTINCT x."day") AS exam_days
FROM found JOIN exam x USING (sid) JOIN read_parquet($persons) p ON p.person = found.person
LEFT JOIN LATERAL (
  SELECT true AS agrees FROM claim c WHERE c.person = found.person AND c."day" BETWEEN x."day" - 1 AND x."day" + 1
    AND (c.finess = x.finess OR list_contains(x.acts, c.code)) LIMIT 1) ON true
WHERE x."day" BETWEEN (SELECT min("day") FROM claim) AND (SELECT max("day") FROM claim)
GROUP BY found.sid, found.person, probability, death_date
HAVING days * 2 >= exam_days AND (death_date IS NULL OR max(x."day") <= death_date + 1)
ORDER BY found.sid
"""


def search(
    exams: pa.Table, load: Path, acts: Collection[str], *, known: Mapping[str, str], cascade: CascadeResult
) -> tuple[ConcordantPerson, ...]:
    """Return probable pairs of subjects and persons that `cascade` left over; the same tables give the same pairs.

    `exams` has the schema `snds.exams.EXAM_SCHEMA`, `known` is person by sid, to train the model. Empty with fewer than
    `MIN_KNOWN_PAIRS`.
    """
    searched = set(exams["sid"].to_pylist())
    known = {sid: person for sid, person in known.items() if sid in searched}
    if len(known) < MIN_KNOWN_PAIRS:
        return ()
    with duckdb.connect() as database:
        database.execute("SET threads TO 1")  # for a reproducible sample and model
        database.register("exam", exams)
        database.register("act", pa.table({"code": sorted(acts)}))
        database.register("known", pa.table({"sid": list(known), "person": list(known.values())}))
        files = {"events": str(load / "event" / "domain=act" / "*.parquet"), "persons": str(load / "person.parquet")}
        for statement in _RECORDS.split(";\n")[:-1]:
            used = {name: path for name, path in files.items() if f"${name}" in statement}
            database.execute(statement, used or None)
        database.register("predicted", _predict_pairs(database))
        *before, last = _SINGLE.split(";\n")
        for statement in before:
            database.execute(statement)
        decided, taken = (
            {pair.sid for pair in cascade.found} | set(cascade.discarded),
            {pair.person for pair in cascade.found},
        )
        single = [
            {"sid": sid, "person": person, "probability": probability}
            for sid, person, probability in database.execute(last).fetchall()
            if sid not in decided and person not in taken and probability >= BANDS[-1][1]
        ]
        database.register("found", pa.Table.from_pylist(single, schema=_FOUND_SCHEMA))
        rows = database.execute(_AGREED, {"persons": files["persons"]}).fetchall()
    return tuple(
        ConcordantPerson(sid, person, _method_of(probability), days, exam_days)
        for sid, person, probability, days, exam_days in rows
    )


def model_digest() -> str:
    """Return a digest of the model's settings, recorded with each link as its source."""
    return hashlib.sha256(repr((BANDS, _RIVAL, _SEX, _BORN, _RECORDS, _SINGLE, _AGREED)).encode()).hexdigest()[:16]


_FOUND_SCHEMA = pa.schema([("sid", pa.string()), ("person", pa.string()), ("probability", pa.float64())])


def _method_of(probability: float) -> str:
    return next(method for method, least in BANDS if probability >= least)


def _predict_pairs(database: duckdb.DuckDBPyConnection) -> pa.Table:
    """Train the model on the known pairs, and return the pairs of a probability of `_RIVAL` or more."""
    engine = DuckDBAPI(database)
    tables = [
        engine.register(database.sql(f"SELECT * FROM {name}").to_arrow_table(), table_name=f"{name}s")  # noqa: S608
        for name in ("subject", "person")
    ]
    linker = Linker(tables, _model_settings(), log_level=logging.ERROR)
    linker.training.estimate_u_using_random_sampling(max_pairs=_PAIRS, seed=_SEED)
    linker.training.estimate_m_from_label_column("person")
    strict = block_on("visits", "birth_year", "birth_month", "sex", arrays_to_explode=["visits"])
    linker.training.estimate_probability_two_random_records_match([strict], recall=0.9)
    return linker.inference.predict(threshold_match_probability=_RIVAL).as_duckdbpyrelation().to_arrow_table()


def _model_settings() -> SettingsCreator:
    sex = _fixed_comparison("sex", [('"sex_l" = "sex_r"', _SEX[0])], _SEX[1])
    born = _fixed_comparison(
        "birth_year",
        [
            ('"birth_year_l" = "birth_year_r" AND "birth_month_l" = "birth_month_r"', _BORN[0]),
            ('"birth_year_l" = "birth_year_r"', _BORN[1]),
            ('"birth_month_l" = "birth_month_r" AND abs("birth_year_l" - "birth_year_r") = 1', _BORN[2]),
        ],
        _BORN[3],
    )
    return SettingsCreator(
        link_type="link_only",
        comparisons=[
            sex,
            born,
            comparisons.ArrayIntersectAtSizes("visits", [3, 2, 1]),
            comparisons.ArrayIntersectAtSizes("acts", [3, 2, 1]),
        ],
        blocking_rules_to_generate_predictions=[
            block_on("visits", arrays_to_explode=["visits"]),
            block_on("acts", "birth_year", "sex", arrays_to_explode=["acts"]),
        ],
    )


def _fixed_comparison(column: str, agreeing: list[tuple[str, float]], otherwise: float) -> comparisons.CustomComparison:
    """Return a comparison with fixed probabilities of agreement."""
    fixed = [
        levels.CustomLevel(condition).configure(m_probability=share, fix_m_probability=True)
        for condition, share in agreeing
    ]
    last = levels.ElseLevel().configure(m_probability=otherwise, fix_m_probability=True)
    return comparisons.CustomComparison([levels.NullLevel(column), *fixed, last], output_column_name=column)
