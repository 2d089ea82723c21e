"""The engine's actions with pydicom reading before them and writing after them: the oracle of the fast path.

pydicom reads lazily, so what a profile keeps is not decoded here either. Nothing is remembered from file to file.
"""

from __future__ import annotations

from io import BytesIO

import pydicom
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset as PydicomDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as PydicomSequence
from pydicom.tag import BaseTag

from imaging_hub.deidentification.engine import output
from imaging_hub.deidentification.engine.actions import InstanceActions
from imaging_hub.deidentification.engine.plan import Plan
from imaging_hub.deidentification.identifiers import collector
from imaging_hub.deidentification.identifiers.patient import PatientContext
from imaging_hub.deidentification.source_and_outcome import Pseudonyms
from imaging_hub.dicom import dictionary, encode, tags, values, walk
from imaging_hub.dicom.elements import Dataset, Element
from imaging_hub.dicom.transfer_syntax import KNOWN
from imaging_hub.dicom.value_representation import TEXT_VRS


def deidentified(file: bytes, plan: Plan, pseudonyms: Pseudonyms) -> bytes:
    """The encoded dataset that the engine should deliver, for a file it does not quarantine."""
    source = pydicom.dcmread(BytesIO(file))
    dataset = _elements(source)
    scope = plan.scope_of(dataset)
    own = set(collector.read(collector.raw(dataset))) - {pseudonyms.patient, f"{pseudonyms.patient}^"}
    actions = InstanceActions(
        plan.profile, pseudonyms, PatientContext(own, pseudonyms.uid_key), values.charset_of(dataset)
    )
    left = actions.apply(dataset, scope)
    method = output.method(plan.profile.name, left.options_ran, bool(left.days))
    cleaned = sorted((*left.elements, *method), key=lambda element: element.tag)
    return written(cleaned, encode.output_syntax(source.file_meta.TransferSyntaxUID))


def _elements(dataset: PydicomDataset) -> Dataset:
    """A dataset as pydicom reads it, values as they are encoded."""
    elements: Dataset = []
    # Before any sequence is read: pydicom then decodes what their values depend on.
    read = {tag: dataset.get_item(tag, keep_deferred=True) for tag in sorted(dataset.keys())}
    for tag, raw in read.items():
        if tag & 0xFFFF == 0 or tag == tags.DataSetTrailingPadding:
            continue
        vr = raw.VR or dictionary.vr(int(tag))
        if isinstance(raw, RawDataElement) and vr == "UN" and raw.length != 0xFFFFFFFF:
            # Whoever wrote UN wrote implicit VR little endian, of a VR the dictionary knows (PS3.5 §6.2.2).
            vr = dictionary.vr(int(tag))
        if vr == "SQ":
            elements.append(Element(int(tag), "SQ", [_elements(item) for item in dataset[tag].value or []]))
        elif isinstance(raw, RawDataElement):
            encapsulated = raw.length == 0xFFFFFFFF
            elements.append(Element(int(tag), vr, raw.value or b"", encapsulated))
        else:
            assert tag == tags.SpecificCharacterSet, "the only value that pydicom decodes unasked"
            terms = raw.value if isinstance(raw.value, MultiValue) else [raw.value or ""]
            elements.append(Element(int(tag), vr, "\\".join(terms).encode()))
    return elements


def normalised(encoded: bytes, transfer_syntax_uid: str) -> bytes:
    """An encoded dataset with text padded in one way: pydicom writes numbers and codes without the source's padding."""
    dataset = _stripped(walk.read(encoded, transfer_syntax_uid))
    return b"".join(encode.write(dataset, transfer_syntax_uid))


def _stripped(dataset: Dataset) -> Dataset:
    stripped = []
    for element in dataset:
        value = element.value
        if isinstance(value, list):
            value = [_stripped(item) for item in value]
        elif element.vr in TEXT_VRS:
            value = b"\\".join(part.strip(b" \0") for part in bytes(value).split(b"\\"))
        stripped.append(Element(element.tag, element.vr, value, element.encapsulated))
    return stripped


def written(dataset: Dataset, transfer_syntax_uid: str) -> bytes:
    """A dataset as pydicom encodes it."""
    syntax = KNOWN[transfer_syntax_uid]
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, syntax.implicit
    write_dataset(buffer, _pydicom(dataset, syntax.implicit))
    return buffer.getvalue()


def _pydicom(dataset: Dataset, implicit: bool) -> PydicomDataset:
    made = PydicomDataset()
    for element in dataset:
        tag = BaseTag(element.tag)
        if isinstance(element.value, list):
            items = PydicomSequence([_pydicom(item, implicit) for item in element.value])
            sequence = DataElement(tag, "SQ", items)
            # In implicit VR only an undefined length tells a sequence that no dictionary has.
            sequence.is_undefined_length = implicit and dictionary.vr(element.tag) != "SQ"
            made[tag] = sequence
        elif element.encapsulated:
            pixels = DataElement(tag, element.vr, bytes(element.value), already_converted=True)
            pixels.is_undefined_length = True
            made[tag] = pixels
        else:
            value = bytes(element.value)
            if len(value) % 2:
                value += b" " if element.vr in TEXT_VRS and element.vr != "UI" else b"\0"
            made[tag] = RawDataElement(tag, element.vr, len(value), value, 0, implicit, True)
    return made
