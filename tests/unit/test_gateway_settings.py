"""T27: what would expose identities is refused at the start, with its cure."""

from __future__ import annotations

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
