"""Instances of a series that differ in a few attributes, as slices do and as no series should."""

from __future__ import annotations

from an_instance import PSEUDONYMS, an_instance, sequence, text
from hypothesis import strategies as st

from imaging_hub.deidentification.source_and_outcome import Pseudonyms, SourceInstance
from imaging_hub.dicom.elements import Element

OTHER = Pseudonyms("S-OTHER-0000-0000-0002", bytes(32), -77)

# What a series may vary from slice to slice; None: not there. The first is what most slices have.
_VARIED: dict[int, list[Element | None]] = {
    0x00080005: [None, text(0x00080005, "CS", "ISO_IR 100"), text(0x00080005, "CS", "ISO_IR 192")],
    0x00080018: [text(0x00080018, "UI", f"1.2.250.1.999.777.1.3.{number}") for number in range(3)],
    0x00080020: [text(0x00080020, "DA", day) for day in ("20230114", "20230115", "broken", "20221006")],
    0x00080060: [text(0x00080060, "CS", "CT"), text(0x00080060, "CS", "MR"), text(0x00080060, "CS", "US")],
    0x00081030: [text(0x00081030, "LO", said) for said in ("CT THORAX", "CT MARCHAND", "GAELDOURT")],
    0x00081115: [None, sequence(0x00081115, [text(0x0020000E, "UI", "1.2.250.1.999.777.1.2")])],
    0x00081140: [
        sequence(0x00081140, [text(0x00081155, "UI", f"1.2.250.1.999.777.{number}")]) for number in (1, 2)
    ],
    0x00090010: [text(0x00090010, "LO", creator) for creator in ("SIEMENS MED NM", "GEMS_IDEN_01", "DUPONT")],
    0x00091001: [text(0x00091001, "LO", said) for said in ("value", "MARCHAND", "20230114")],
    0x00100010: [text(0x00100010, "PN", name) for name in ("GAELDOURT^LOIC", "MARCHAND^ANNE", "")],
    0x00100030: [text(0x00100030, "DA", "19560217"), text(0x00100030, "DA", "19100217"), None],
    0x00120063: [None, text(0x00120063, "LO", "somebody else"), text(0x00120063, "LO", "GAELDOURT")],
    0x00181030: [text(0x00181030, "LO", said) for said in ("Thorax 1.2.250.1.999.777.1.3.2", "Thorax", "20230114")],
    0x00200013: [text(0x00200013, "IS", str(number)) for number in range(3)],
    0x00204000: [
        None,
        text(0x00204000, "LT", "Marchand, née le 17/02/1956", "latin-1"),
        Element(0x00204000, "LT", b"\xe9t\xc3\xa9"),
    ],
    0x7FE00010: [Element(0x7FE00010, "OW", bytes(8)), Element(0x7FE00010, "OW", bytes(range(8)))],
}  # fmt: skip
_PICTURE = (
    Element(0x00280002, "US", b"\x01\x00"),
    Element(0x00280010, "US", b"\x02\x00"),
    Element(0x00280011, "US", b"\x02\x00"),
)


@st.composite
def sources(draw: st.DrawFn) -> tuple[SourceInstance, Pseudonyms]:
    """An instance, mostly of one patient and mostly like the others."""
    chosen = {}
    for tag, variants in _VARIED.items():
        place = draw(st.integers(0, len(variants) - 1)) if draw(st.integers(0, 4)) == 0 else 0
        chosen[tag] = variants[place]
    source = an_instance(*_PICTURE, *(element for element in chosen.values() if element is not None))
    return source, PSEUDONYMS if draw(st.integers(0, 9)) else OTHER
