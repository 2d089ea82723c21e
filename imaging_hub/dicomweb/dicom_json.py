"""Encoding of headers in the DICOM JSON Model (PS3.18 Annex F) with pydicom."""

from __future__ import annotations

import json
from collections.abc import Iterable
from io import BytesIO
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.filereader import read_dataset

from imaging_hub.dicom.transfer_syntax import KNOWN

JsonObject = dict[str, Any]


def read_header(encoded: bytes, transfer_syntax_uid: str) -> Dataset:
    """Read a stored header as a pydicom dataset."""
    return read_dataset(BytesIO(encoded), KNOWN[transfer_syntax_uid].implicit, True)


def encode_dataset(dataset: Dataset) -> JsonObject:
    """Encode every attribute, except those without a JSON form (a malformed DS); an empty one would mislead."""
    encoded = ((tag, _encode_attribute(dataset, tag)) for tag in sorted(dataset.keys()))
    return {f"{tag:08X}": value for tag, value in encoded if value is not None}


def encode_attributes(dataset: Dataset, keywords: Iterable[str]) -> JsonObject:
    """Encode these attributes, also missing ones, as required keys are returned without a value."""
    encoded: JsonObject = {}
    for keyword in keywords:
        tag = tag_for_keyword(keyword)
        if tag is not None:
            encoded[f"{tag:08X}"] = _encode_attribute(dataset, tag) if tag in dataset else None
            encoded[f"{tag:08X}"] = encoded[f"{tag:08X}"] or {"vr": dictionary_VR(tag)}
    return dict(sorted(encoded.items()))


def encode_element(keyword: str, *values: object) -> JsonObject:
    """Encode one attribute with these values, without None and empty strings; raises `KeyError` for a keyword."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    present = [value for value in values if value is not None and value != ""]
    return {f"{tag:08X}": {"vr": dictionary_VR(tag), **({"Value": present} if present else {})}}


def encode_bulk_reference(tag: int, vr: str, url: str) -> JsonObject:
    """Encode an attribute as a reference to its bulk data (PS3.18 §F.2.2)."""
    return {f"{tag:08X}": {"vr": vr, "BulkDataURI": url}}


def _encode_attribute(dataset: Dataset, tag: int) -> JsonObject | None:
    # Dataset.to_json_dict logs values and sets strict reading for all threads, so elements are encoded one by one.
    try:
        encoded: JsonObject = dataset[tag].to_json_dict(None, 0)
        json.dumps(encoded, allow_nan=False)
    except Exception:  # conversions raise errors of any type
        return None
    return encoded
