"""T27: what would expose identities is refused at the start, with its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from imaging_hub.errors import SettingsError
from imaging_hub.settings import load


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"bind_address": "0.0.0.0"}, "allow_plaintext_dicom"),
        ({"dicom_tls_certificate": "/nowhere/certificate.pem"}, "dicom_tls_key"),
        ({"environment": "demonstration", "bind_address": "10.0.0.1", "allow_plaintext_dicom": True}, "loopback"),
        ({"pdu_max_bytes": 10}, "pdu_max_bytes"),
        ({"database_url": "postgresql://db/hub"}, "database_role_password"),
        ({"dicom_tls_pasword": "x"}, "dicom_tls_pasword"),
    ],
)
def test_unsafe_settings_stop_the_start(given: dict[str, object], named: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(**given)
    assert named in str(refused.value)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"dicom_port = 1\nlog_level = 'info\n", 2),
        (b"log_level = '\xe9'\n", 1),
        (b"a = " + b"[" * 100_000, 1),
        (b"a = " + b"9" * 5000, 1),
        (b"\0", 1),
        (b"log_level = 'info'\nlog_level = 'debug'\n", 2),
    ],
)
def test_a_configuration_that_is_no_toml_is_refused_at_its_line(tmp_path: Path, content: bytes, line: int) -> None:
    (tmp_path / "hub.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=rf"^hub.toml:{line}: ") as refused:
        load(tmp_path / "hub.toml")
    assert refused.value.hint


def test_a_configuration_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read") as refused:
        load(tmp_path / "none.toml")
    assert "none.toml" in refused.value.hint
