"""What every run tries in short, at length: each is a command that says by its status whether it held."""

from __future__ import annotations

import subprocess
from pathlib import Path

import power
import pytest

ROOT = Path(__file__).resolve().parents[2]
_HOURS = 3600.0

pytestmark = [pytest.mark.long, pytest.mark.timeout(4 * _HOURS)]

_power = pytest.mark.skipif(not power.possible(), reason="needs root, loop devices and strace")
_corpus = pytest.mark.usefixtures("corpus")
COMMANDS = [
    pytest.param("durability/kill9 500", id="500 SIGKILLs of the receiver"),
    pytest.param("durability/power_cut 50", id="50 power cuts", marks=_power),
    pytest.param("durability/power_cut 25 never", id="25 power cuts without originals", marks=_power),
    pytest.param("durability/database_stopped 30", id="database stopped for 30 s"),
    pytest.param("fuzz_reception 5000 5000", id="5,000 damaged instances and 5,000 damaged streams"),
    pytest.param("fuzz_deidentify 20000", id="20,000 damaged files de-identified"),
    pytest.param("fuzz_walk 20000", id="20,000 damaged files read"),
    pytest.param("privacy 1", id="identifiers planted in the whole corpus", marks=_corpus),
    pytest.param("privacy_generated 1000", id="1,000 generated patients under each profile"),
    pytest.param("conformance", id="IOD errors over the whole corpus", marks=_corpus),
    pytest.param("differencing_attack 200", id="200 counts by an attacker"),
    pytest.param("linkage_quality 20000", id="20,000 persons linked"),
    pytest.param("bench/cohorts --persons 2000 --beside 2000 --runs 1", id="the bench of cohorts"),
    pytest.param("bench/deidentify --instances 20 --runs 1", id="the bench of de-identification", marks=_corpus),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_it_holds_at_length(command: str, tmp_path: Path) -> None:
    name, *arguments = command.split()
    done = subprocess.run(
        [ROOT / "scripts" / name, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
