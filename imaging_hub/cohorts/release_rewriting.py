"""Rewriting of an archived instance under a project's pseudonyms, so that two releases cannot be joined.

Patient ID, Patient's Name and every UID that the hub made (`2.25.…`) are replaced at every depth, the file meta
information is written anew, and pixel data are copied. A pseudonym of the archive that is left is a fault, and fails
the release.
"""

from __future__ import annotations

import hmac
import re
from base64 import b32encode
from collections.abc import Callable
from dataclasses import replace

from imaging_hub.dicom import encode, part10, tags, uid, walk
from imaging_hub.dicom.elements import Buffer, Dataset, Element
from imaging_hub.errors import HubError

_HUB_UID_ROOT = "2.25."
_HUB_UID = re.compile(rb"2\.25\.[0-9]{30,39}")  # 128 random bits have fewer digits once in 10^9
_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def project_pseudonym(key: bytes, sid: str) -> str:
    """Return pid, the Patient ID in a project's releases, e.g. `P-7Q4K-0M2X-9ABC-DEFG` (80 bits)."""
    digest = hmac.digest(key, f"PID|1|{sid}".encode(), "sha256")[:10]
    digits = b32encode(digest).translate(_CROCKFORD).decode()
    return "-".join(("P", *(digits[start : start + 4] for start in range(0, 16, 4))))


def rewrite(archived: bytes, pseudonym: str, pid: str, uid_key: bytes) -> list[Buffer]:
    """Return the Part 10 file of `archived` for a project; `pseudonym` is its Patient ID in the archive.

    Raises `HubError` `residual-pseudonym` when the result still has the archive's Patient ID or UIDs.
    """
    meta, encoded = part10.split(archived)
    new_uids: dict[str, str] = {}

    def new_uid(old: str) -> str:
        if old.startswith(_HUB_UID_ROOT):
            new_uids.setdefault(old, uid.remap(old, uid_key))
        return new_uids.get(old, old)

    dataset = [_rewrite_element(element, pid, new_uid) for element in walk.read(encoded, meta.transfer_syntax_uid)]
    _refuse_residue(dataset, meta.transfer_syntax_uid, pseudonym, set(new_uids.values()))
    top = {element.tag: element.value for element in dataset}
    meta_bytes = part10.file_meta(
        _text(top[tags.SOPClassUID]), _text(top[tags.SOPInstanceUID]), meta.transfer_syntax_uid
    )
    return [meta_bytes, *encode.write(dataset, meta.transfer_syntax_uid)]


def _rewrite_element(element: Element, pid: str, new_uid: Callable[[str], str]) -> Element:
    value = element.value
    if isinstance(value, list):
        return replace(element, value=[[_rewrite_element(inner, pid, new_uid) for inner in item] for item in value])
    if element.tag in (tags.PatientName, tags.PatientID):
        return replace(element, value=pid.encode())
    if element.vr == "UI":
        return replace(element, value="\\".join(new_uid(part) for part in _text(value).split("\\")).encode())
    return element


def _refuse_residue(dataset: Dataset, transfer_syntax_uid: str, pseudonym: str, new: set[str]) -> None:
    """Search the encoded header, whatever the VR, for pseudonyms of the archive."""
    header = [element for element in dataset if element.tag not in tags.PIXEL_DATA_ATTRIBUTES]
    data = b"".join(bytes(part) for part in encode.write(header, transfer_syntax_uid))
    if pseudonym.encode() in data or any(found.decode() not in new for found in _HUB_UID.findall(data)):
        raise HubError("an instance still names the archive's patient or UIDs", code="residual-pseudonym")


def _text(value: Buffer | list[Dataset]) -> str:
    return "" if isinstance(value, list) else bytes(value).decode("ascii", "replace").rstrip("\0 ")
