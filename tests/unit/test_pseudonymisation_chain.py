"""Pseudonyms that differ by use, by project and by key, and say what they are."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_hub.keys import pseudonym_chain
from imaging_hub.keys.keyring import Keyring
from imaging_hub.pseudonymisation import pseudonyms

KEY = hashlib.sha256(b"a test").digest()
OTHER = hashlib.sha256(b"another").digest()


def test_the_message_is_as_the_design_writes_it() -> None:
    assert pseudonym_chain.ins_message("253072B073004", date(1953, 7, 1), "2") == "INS|1|253072B073004|19530701|2"
    assert pseudonym_chain.ipp_message("CHU", "00|12") == "IPP|1|CHU|00|12"
    with pytest.raises(ValueError, match="short name"):
        pseudonym_chain.ipp_message("CHU|00", "12")


def test_a_token_is_hmac_sha_256_in_crockford_base32_with_its_epoch() -> None:
    token = pseudonym_chain.level1(KEY, "message", 3)
    digest = hmac.new(KEY, b"message", hashlib.sha256).digest()[:20]
    number = int.from_bytes(digest, "big")
    digits = "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[(number >> 5 * place) & 31] for place in reversed(range(32)))
    assert token == f"h1e03-{digits}"


def test_levels_and_keys_never_meet() -> None:
    first = pseudonym_chain.level1(KEY, "message")
    made = {
        first,
        pseudonym_chain.level2(KEY, "message"),
        pseudonym_chain.level1(OTHER, "message"),
        pseudonym_chain.level2(KEY, first),
    }
    assert len({token.split("-", 1)[1] for token in made}) == 4


def test_projects_know_a_subject_under_unlike_names() -> None:
    assert pseudonym_chain.project_pseudonym(KEY, "s") != pseudonym_chain.project_pseudonym(OTHER, "s")
    assert re.fullmatch(r"P(-[0-9A-HJKMNP-TV-Z]{4}){4}", pseudonym_chain.project_pseudonym(KEY, "s"))


@given(st.text(min_size=1, max_size=40))
def test_dates_shift_back_by_whole_days_and_never_by_none(sid: str) -> None:
    assert -3650 <= pseudonyms.date_shift_days(KEY, sid) <= -1


def test_a_subject_is_one_patient_everywhere_and_its_uids_are_each_hospitals_own(tmp_path) -> None:
    keyring = Keyring.create(tmp_path / "hub.json", ("pseudonym", "date-shift", "uid"))
    here, there = (pseudonyms.subject_pseudonyms(keyring, "5" * 32, hospital) for hospital in ("CHU", "CH"))
    assert (here.patient, here.date_shift_days) == (there.patient, there.date_shift_days)
    assert here.uid_key != there.uid_key
    assert len(here.uid_key) == 32
    assert re.fullmatch(r"S(-[0-9A-HJKMNP-TV-Z]{4}){4}", here.patient)
    assert pseudonyms.subject_pseudonyms(keyring, "6" * 32, "CHU").patient != here.patient
