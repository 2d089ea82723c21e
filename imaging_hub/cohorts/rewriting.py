"""An archived instance under a project's own pseudonyms, so that two releases cannot be joined by any of them.

Patient ID, Patient's Name and every UID of ours (`2.25.…`) are replaced at every depth, the file meta
information is made anew, and pixel data pass as they are. What is still of the archive afterwards is a
fault: the release then fails rather than leaves.
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

_OURS = "2.25."
_OURS_ANYWHERE = re.compile(rb"2\.25\.[0-9]{30,39}")  # 128 bits at random are shorter once in a thousand million
_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def project_pseudonym(key: bytes, sid: str) -> str:
    """pid = HMAC-SHA-256(K3[p], sid): Patient ID in a project's releases, e.g. `P-7Q4K-0M2X-9ABC-DEFG` (80 bits)."""
    digest = hmac.digest(key, f"PID|1|{sid}".encode(), "sha256")[:10]
    digits = b32encode(digest).translate(_CROCKFORD).decode()
    return "-".join(("P", *(digits[start : start + 4] for start in range(0, 16, 4))))


def rewrite(archived: bytes, pseudonym: str, pid: str, uid_key: bytes) -> list[Buffer]:
    """The Part 10 file of `archived` for a project; `pseudonym` is the archive's Patient ID in it.

    Raises `HubError('residual-pseudonym')` when the result still names the archive's patient or UIDs.
    """
    meta, encoded = part10.split(archived)
    renamed: dict[str, str] = {}

    def rename(old: str) -> str:
        if old.startswith(_OURS):
            renamed.setdefault(old, uid.remap(old, uid_key))
        return renamed.get(old, old)

    dataset = [_rewritten(element, pid, rename) for element in walk.read(encoded, meta.transfer_syntax_uid)]
    _refuse_residue(dataset, meta.transfer_syntax_uid, pseudonym, set(renamed.values()))
    top = {element.tag: element.value for element in dataset}
    fresh = part10.file_meta(_text(top[tags.SOPClassUID]), _text(top[tags.SOPInstanceUID]), meta.transfer_syntax_uid)
    return [fresh, *encode.write(dataset, meta.transfer_syntax_uid)]


def _rewritten(element: Element, pid: str, rename: Callable[[str], str]) -> Element:
    value = element.value
    if isinstance(value, list):
        return replace(element, value=[[_rewritten(inner, pid, rename) for inner in item] for item in value])
    if element.tag in (tags.PatientName, tags.PatientID):
        return replace(element, value=pid.encode())
    if element.vr == "UI":
        return replace(element, value="\\".join(rename(part) for part in _text(value).split("\\")).encode())
    return element


def _refuse_residue(dataset: Dataset, transfer_syntax_uid: str, pseudonym: str, new: set[str]) -> None:
    """Look at the bytes, not at the attributes: whatever the VR, nothing of the archive may be left."""
    header = [element for element in dataset if element.tag not in tags.PIXEL_DATA_ATTRIBUTES]
    data = b"".join(bytes(part) for part in encode.write(header, transfer_syntax_uid))
    if pseudonym.encode() in data or any(found.decode() not in new for found in _OURS_ANYWHERE.findall(data)):
        raise HubError("an instance still names the archive's patient or UIDs", code="residual-pseudonym")


def _text(value: Buffer | list[Dataset]) -> str:
    return "" if isinstance(value, list) else bytes(value).decode("ascii", "replace").rstrip("\0 ")
