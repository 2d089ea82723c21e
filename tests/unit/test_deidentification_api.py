"""The engine alone, as docs/deidentification.md tells it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from imaging_hub import deidentification

PAGE = Path(__file__).resolve().parents[2] / "docs" / "deidentification.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("place", range(len(EXAMPLES)))
def test_the_examples_of_the_page_run_as_they_stand(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "IN").mkdir()
    shutil.copy(get_testdata_file("CT_small.dcm", download=False), tmp_path / "IN" / "slice.dcm")
    monkeypatch.chdir(tmp_path)
    exec(compile(EXAMPLES[place], str(PAGE), "exec"), {})
    written = [path for path in tmp_path.rglob("*.dcm") if "IN" not in path.parts]
    assert len(written) == 1
    assert "CompressedSamples" not in written[0].read_bytes().decode("latin-1")
    assert "StudyDate" in capsys.readouterr().out or place


def test_every_name_that_is_promised_is_there() -> None:
    assert len(EXAMPLES) == 2
    assert all(hasattr(deidentification, name) for name in deidentification.__all__)


def test_the_engine_brings_no_database_network_or_web_with_it() -> None:
    """Nor the rest of the hub: what imports it can be installed without a server."""
    code = "import sys, imaging_hub.deidentification; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    )
    assert loaded.isdisjoint({"sqlalchemy", "psycopg", "fastapi", "starlette", "httpx", "pynetdicom", "duckdb", "ibis"})
