"""What an instance says of its own de-identification."""

from __future__ import annotations

from imaging_hub.deidentification import standard
from imaging_hub.dicom import tags
from imaging_hub.dicom.elements import Dataset, Element

_VERSION = "imaging-hub 1"


def elements(profile: str, options_ran: frozenset[str], shifted: bool) -> Dataset:
    """What an instance says of its own de-identification (PS3.15 §E.1.1, PS3.3 §C.7.1.1, §C.12.1).

    Methods are the Basic Profile and the options that ran on this instance, not those that the profile would allow.
    """
    dates = "UNMODIFIED" if standard.FULL_DATES in options_ran else "REMOVED"
    if shifted or standard.MODIFIED_DATES in options_ran:
        dates = "MODIFIED"
    codes = [
        [
            Element(tags.CodeValue, "SH", method.code.encode()),
            Element(tags.CodingSchemeDesignator, "SH", b"DCM"),
            Element(tags.CodeMeaning, "LO", method.meaning.encode()),
        ]
        for option, method in standard.methods().items()
        if option == standard.BASIC or option in options_ran
    ]
    text = "\\".join((_VERSION, standard.edition(), f"profile {profile}"[:64]))
    return [
        Element(tags.PatientIdentityRemoved, "CS", b"YES"),
        Element(tags.DeidentificationMethod, "LO", text.encode("ascii")),
        Element(tags.DeidentificationMethodCodeSequence, "SQ", codes),
        Element(tags.LongitudinalTemporalInformationModified, "CS", dates.encode()),
    ]
