"""An instance as it leaves: its header, with what it says of its own de-identification, and its pixel data."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from operator import itemgetter

from imaging_hub.deidentification import standard_tables
from imaging_hub.deidentification.engine.slice_cache import PIXELS, EncodedRun, RunOutput
from imaging_hub.dicom import encode, tags
from imaging_hub.dicom.element_runs import around
from imaging_hub.dicom.elements import Buffer, Dataset, Element

METHOD = around(tags.PatientIdentityRemoved, tags.DeidentificationMethodCodeSequence)
DATES = around(tags.LongitudinalTemporalInformationModified)
"""The tags from which, and before which, an instance says how it was de-identified."""

_VERSION = "imaging-hub 1"
_stop = itemgetter(0)


def encoded(
    runs: Collection[EncodedRun], whole: RunOutput, documents: Dataset, profile: str, transfer_syntax_uid: str
) -> tuple[bytes, list[Buffer]]:
    """Encode the header before pixel data, and all parts of the dataset, the header first.

    `whole` is the union of `runs`; `documents` holds elements that are written in place of those of the source.
    """
    method = _encoded_method(profile, whole.options_ran, bool(whole.days), transfer_syntax_uid)
    instead = {element.tag + 1: b"".join(encode.write([element], transfer_syntax_uid)) for element in documents}
    before = [(run.stop, run.encoded) for run in runs if run.stop <= PIXELS[0] and run.stop not in instead]
    header = b"".join(part for _, part in sorted((*before, *instead.items(), *method), key=_stop))
    parts: list[Buffer] = [header]
    for run in runs:
        if run.stop == PIXELS[1]:
            parts += encode.write(run.output.elements, transfer_syntax_uid)
        elif run.stop > PIXELS[1]:
            parts.append(run.encoded)
    return header, parts


@lru_cache(maxsize=1024)
def _encoded_method(
    profile: str, options_ran: frozenset[str], shifted: bool, transfer_syntax_uid: str
) -> tuple[tuple[int, bytes], ...]:
    """The encoded elements of `method`, each group with the tag before which it ends."""
    elements = method(profile, options_ran, shifted)
    return tuple(
        (stop, b"".join(encode.write([one for one in elements if first <= one.tag < stop], transfer_syntax_uid)))
        for first, stop in (METHOD, DATES)
    )


def method(profile: str, options_ran: frozenset[str], shifted: bool) -> Dataset:
    """Write what an instance says of its own de-identification (PS3.15 §E.1.1, PS3.3 §C.7.1.1, §C.12.1).

    Methods are the Basic Profile and the options that ran on this instance, not those that the profile would allow.
    """
    dates = "UNMODIFIED" if standard_tables.FULL_DATES in options_ran else "REMOVED"
    if shifted or standard_tables.MODIFIED_DATES in options_ran:
        dates = "MODIFIED"
    codes = [
        [
            Element(tags.CodeValue, "SH", code.code.encode()),
            Element(tags.CodingSchemeDesignator, "SH", b"DCM"),
            Element(tags.CodeMeaning, "LO", code.meaning.encode()),
        ]
        for option, code in standard_tables.methods().items()
        if option == standard_tables.BASIC or option in options_ran
    ]
    text = "\\".join((_VERSION, standard_tables.edition(), f"profile {profile}"[:64]))
    return [
        Element(tags.PatientIdentityRemoved, "CS", b"YES"),
        Element(tags.DeidentificationMethod, "LO", text.encode("ascii")),
        Element(tags.DeidentificationMethodCodeSequence, "SQ", codes),
        Element(tags.LongitudinalTemporalInformationModified, "CS", dates.encode()),
    ]
