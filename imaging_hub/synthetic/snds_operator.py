"""Simulated SNDS operator, which derives SNDS pseudonyms from NIR.

Its folder holds two secrets, as FOIN 1 and FOIN 2 are held by two bodies, and the list of known beneficiaries. The hub
reads its return files and nothing of this folder.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from imaging_hub.errors import LinkageError

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SECRETS = "secrets.json"
_BENEFICIARIES = "beneficiaries.txt"
RETURN_COLUMNS = ("id_acc", "BEN_NIR_ANO")


@dataclass(frozen=True, slots=True)
class SndsOperator:
    """Derives SNDS pseudonyms of 17 characters."""

    foin1: bytes = field(repr=False)
    foin2: bytes = field(repr=False)

    @classmethod
    def from_seed(cls, seed: int) -> SndsOperator:
        """Return the operator of a synthetic SNDS; the same seed gives the same pseudonyms."""
        first, second = (hashlib.sha256(f"synthetic operator|{level}|{seed}".encode()).digest() for level in (1, 2))
        return cls(first, second)

    @classmethod
    def open(cls, folder: Path) -> SndsOperator:
        """Read the operator's secrets from `folder`; raises `LinkageError` when there are none."""
        try:
            secrets = json.loads((folder / _SECRETS).read_text("utf-8"))
            return cls(bytes.fromhex(secrets["foin1"]), bytes.fromhex(secrets["foin2"]))
        except (OSError, ValueError, KeyError) as fault:
            raise LinkageError("this is not a simulated operator's folder", hint="name OUT/operator") from fault

    def nir_ano(self, nir13: str, birth_date: str, sex: str) -> str:
        """Return BEN_NIR_ANO, derived from the person's own NIR."""
        return self._pseudonym("ANO", nir13, birth_date, sex)

    def nir_psa(self, holder_nir13: str, birth_date: str, sex: str) -> str:
        """Return BEN_NIR_PSA, derived from the policy holder's NIR; a person may have several, and twins share one."""
        return self._pseudonym("PSA", holder_nir13, birth_date, sex)

    def save(self, folder: Path, known: set[str]) -> None:
        """Write the secrets and the known beneficiaries (BEN_NIR_ANO) to 0600 files."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_private(folder / _SECRETS, json.dumps({"foin1": self.foin1.hex(), "foin2": self.foin2.hex()}))
        _write_private(folder / _BENEFICIARIES, "\n".join(sorted(known)))

    def _pseudonym(self, *message: str) -> str:
        level1 = hmac.digest(self.foin1, "|".join(message).encode(), "sha256")
        number = int.from_bytes(hmac.digest(self.foin2, level1, "sha256"), "big")
        return "".join(_DIGITS[(number >> 5 * place) & 31] for place in range(17))


def answer_delivery(delivery_csv: Path, operator_dir: Path, return_csv: Path) -> Path:
    """Write the return file of a delivery: each id_acc with its BEN_NIR_ANO, empty for an unknown person."""
    operator = SndsOperator.open(operator_dir)
    known = set((operator_dir / _BENEFICIARIES).read_text("utf-8").split())
    with delivery_csv.open(encoding="ascii", newline="") as file:
        lines = [
            (line["id_acc"], operator.nir_ano(line["ins"], line["birth_date"], line["sex"]))
            for line in csv.DictReader(file, delimiter=";")
        ]
    with return_csv.open("w", encoding="ascii", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(RETURN_COLUMNS)
        writer.writerows((id_acc, pseudonym if pseudonym in known else "") for id_acc, pseudonym in lines)
    return return_csv


def _write_private(path: Path, content: str) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content)
