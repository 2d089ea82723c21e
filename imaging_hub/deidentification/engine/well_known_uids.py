"""UIDs that name things of everybody: SOP Classes, transfer syntaxes, coding schemes."""

from __future__ import annotations

import re
from functools import cache

from pydicom.uid import UID_dictionary

# A component of more than five digits could be somebody's number under a borrowed root.
_STANDARD = re.compile(r"1\.2\.840\.10008(?:\.\d{1,5}){1,10}\Z")
_CODING_SCHEMES = re.compile(r"2\.16\.840\.1\.113883\.(?:5|6)\.\d{1,4}(?:\.\d{1,4}){0,2}\Z")


@cache
def _registered() -> frozenset[str]:
    return frozenset(UID_dictionary)


def is_well_known(uid: str) -> bool:
    """Whether a UID is one of the Standard or of a coding scheme of HL7's registry, and so names nobody's instance."""
    return uid in _registered() or _STANDARD.match(uid) is not None or _CODING_SCHEMES.match(uid) is not None
