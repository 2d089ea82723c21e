"""Headers in the DICOM JSON Model (PS3.18 Annex F), made by pydicom when they are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from io import BytesIO
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.filereader import read_dataset

from imaging_hub.dicom.transfer_syntax import KNOWN

Json = dict[str, Any]


def read(encoded: bytes, transfer_syntax_uid: str) -> Dataset:
    """A stored header as pydicom's dataset."""
    return read_dataset(BytesIO(encoded), KNOWN[transfer_syntax_uid].implicit, True)


def model(dataset: Dataset) -> Json:
    """Every attribute; one without a JSON form (a decimal that is no number) is left out: an empty one misleads."""
    found = ((tag, _attribute(dataset, tag)) for tag in sorted(dataset.keys()))
    return {f"{tag:08X}": value for tag, value in found if value is not None}


def attributes(dataset: Dataset, keywords: Iterable[str]) -> Json:
    """These attributes, empty ones included: required keys are returned even without a value."""
    made: Json = {}
    for keyword in keywords:
        tag = tag_for_keyword(keyword)
        if tag is not None:
            made[f"{tag:08X}"] = _attribute(dataset, tag) if tag in dataset else None
            made[f"{tag:08X}"] = made[f"{tag:08X}"] or {"vr": dictionary_VR(tag)}
    return dict(sorted(made.items()))


def element(keyword: str, *values: object) -> Json:
    """One attribute with values of ours."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    shown = [value for value in values if value is not None and value != ""]
    return {f"{tag:08X}": {"vr": dictionary_VR(tag), **({"Value": shown} if shown else {})}}


def bulk(tag: int, vr: str, url: str) -> Json:
    """An attribute whose value lies elsewhere."""
    return {f"{tag:08X}": {"vr": vr, "BulkDataURI": url}}


def _attribute(dataset: Dataset, tag: int) -> Json | None:
    # Not to_json_dict of the Dataset: that logs values, and sets strict reading for every thread.
    try:
        found: Json = dataset[tag].to_json_dict(None, 0)
        json.dumps(found, allow_nan=False)
    except Exception:  # pydicom raises whatever its conversions raise
        return None
    return found
