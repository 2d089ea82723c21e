"""An exception is told by its type and the line of our code, never by its message."""

from __future__ import annotations

import pickle

import pytest

from imaging_hub.deidentification import standard_tables
from imaging_hub.errors import FaultSite
from imaging_hub.keys.aead import AuthenticatedCipher

CANARY = "DUPONT"


def test_the_place_is_where_it_rose() -> None:
    with pytest.raises(ValueError, match="256") as failed:
        AuthenticatedCipher(b"")
    site = FaultSite.from_exception(failed.value)
    assert site.kind == "ValueError"
    assert site.place == f"keys.aead:{failed.traceback[-1].lineno + 1}"
    assert str(site) == f"ValueError at {site.place}"


def test_the_place_of_what_a_library_raised_is_the_line_of_ours_that_called_it() -> None:
    with pytest.raises(FileNotFoundError) as failed:
        standard_tables.table(CANARY)
    site = FaultSite.from_exception(failed.value)
    assert site.place.startswith("deidentification.standard_tables:")
    assert CANARY not in repr(site) + str(site)


def test_what_none_of_our_lines_raised_has_its_type_alone() -> None:
    site = FaultSite.from_exception(KeyError(CANARY))
    assert str(site) == "KeyError"


def test_a_site_goes_from_process_to_process() -> None:
    site = FaultSite("ValueError", "log:1")
    assert pickle.loads(pickle.dumps(site)) == site
