"""Invented French identifiers planted into DICOM, the engine run over them, what came out scored."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from deidentified_folder import Outcome, deidentify_folder

from imaging_hub.deidentification.profile.profile import load

RETAIN_DEVICE = "retain-device-identity"


def plant(tools: Path, source: Path, folder: Path, *, seed: int, limit: int = 0, reports: bool = True) -> None:
    """Plant in files of `source`, all or `limit` of them; leaves `planted/` and `truth.json` in `folder`.

    `reports` adds PDF reports, made up for a third of the patients.
    """
    command = [sys.executable, tools / "plant_phi.py", source, folder / "planted", "--truth", folder / "truth.json"]
    amount = ["--seed", str(seed), "--limit", str(limit), "--pdf-every", "3" if reports else "0"]
    subprocess.run([*command, *amount], check=True, capture_output=True)


def score(tools: Path, folder: Path, profile: str) -> tuple[dict[str, Any], Outcome]:
    """The report on what `profile` makes of the planted files, and the outcome of each."""
    output, uid_map, report = (folder / f"{name}-{profile}" for name in ("out", "uids.json", "report.json"))
    outcome = deidentify_folder(folder / "planted", output, profile)
    uid_map.write_text(json.dumps(outcome.uids))
    return examine(tools, folder, output, report, uid_map), outcome


def examine(tools: Path, folder: Path, output: Path, report: Path, uid_map: Path | None = None) -> dict[str, Any]:
    """The report on any folder of outputs."""
    command = [
        sys.executable,
        tools / "score_phi.py",
        "--truth",
        folder / "truth.json",
        "--planted",
        folder / "planted",
    ]
    mapped = ["--uid-map", uid_map] if uid_map else []
    subprocess.run([*command, "--out", output, "--report", report, *mapped], check=True, capture_output=True)
    scored: dict[str, Any] = json.loads(report.read_text())
    return scored


def text_leaks(report: dict[str, Any], profile: str) -> int:
    """Identifiers left in text, but for the device in its own attributes under a profile that keeps the device."""
    kept = ("StationName", "DeviceSerialNumber") if RETAIN_DEVICE in load(profile).options else ()
    by_place = report["leaks_by_place"]
    leaks: int = report["text_leaks"] - sum(by_place[place]["leaked"] for place in kept if place in by_place)
    return leaks
