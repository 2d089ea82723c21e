"""Settings of the hub, with type, unit, default and reason.

They are read once at start and passed on; nothing else reads the environment. Each setting is `IMAGING_HUB_<NAME>` in
the environment or `<name>` in the TOML file given by `--config`.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from imaging_hub.errors import SettingsError

_TOML_LINE = re.compile(r"at line ([0-9]+)")


class Settings(BaseSettings):
    """Settings of one hub; unsafe combinations are refused."""

    model_config = SettingsConfigDict(env_prefix="IMAGING_HUB_", extra="forbid", frozen=True)

    home: Path = Field(Path("hub-data"), description="Folder of everything that no other setting moves.")
    environment: Literal["production", "demonstration"] = Field(
        "production",
        description="`demonstration` accepts the INS test and demo OIDs; production refuses them.",
    )

    database_url: SecretStr | None = Field(
        None, description="PostgreSQL URL of the owner; unset starts an embedded server under `home`."
    )
    database_role_password: SecretStr | None = Field(
        None, description="Password given to the hub's own database roles; needed with `database_url`."
    )
    trust_url: str | None = Field(
        None, description="URL of the trusted third party; unset, `serve` runs it on this machine."
    )
    trust_port: int = Field(8083, ge=0, le=65535, description="Port of the third party.")
    trust_database_url: SecretStr | None = Field(
        None, description="PostgreSQL URL of the owner of the third party's database; unset starts one under `home`."
    )
    trust_database_role_password: SecretStr | None = Field(
        None, description="Password given to the third party's role; needed with `trust_database_url`."
    )
    object_store_url: str | None = Field(
        None, description="Object store of the archive (s3://, gs://, az://, file://); unset is a folder under `home`."
    )

    bind_address: str = Field("127.0.0.1", description="Address that gateway, hub and console listen on.")
    dicom_port: int = Field(11112, ge=0, le=65535, description="Port of the C-STORE receiver.")
    gateway_port: int = Field(
        8082, ge=0, le=65535, description="Port of the gateway's STOW-RS, health and metrics; 0 for none of them."
    )
    query_port: int = Field(
        0, ge=0, le=65535, description="Port where hospitals with the right ask back what they sent; 0 for none."
    )
    hub_port: int = Field(8080, ge=0, le=65535, description="Port of the hub's API and pages.")
    console_port: int = Field(8081, ge=0, le=65535, description="Port of the hospital's console.")
    hub_origin: str | None = Field(None, description="Public origin of the hub; default from address and port.")
    console_origin: str | None = Field(None, description="Public origin of the console, likewise.")
    ae_title: str = Field("IMAGINGHUB", min_length=1, max_length=16, description="Called AE title we answer to.")

    dicom_tls_certificate: Path | None = Field(None, description="PEM certificate; with the key, DICOM runs over TLS.")
    dicom_tls_key: Path | None = Field(None, description="PEM private key of that certificate.")
    dicom_tls_client_ca: Path | None = Field(None, description="PEM authorities that sign senders' certificates.")
    allow_plaintext_dicom: bool = Field(
        False, description="Must be set to receive without TLS on an address other than loopback."
    )

    pdu_max_bytes: int = Field(1 << 20, ge=16384, description="A longer PDU ends the connection.")
    dataset_max_bytes: int = Field(4 << 30, ge=1 << 20, description="A longer dataset ends the connection.")
    stow_max_bytes: int = Field(64 << 30, ge=1 << 20, description="A longer STOW-RS request is refused.")
    pdu_deadline_seconds: float = Field(30.0, gt=0, description="Time in which a PDU that has begun must be complete.")
    associations_max: int = Field(64, ge=1, description="Associations at the same time, of all peers together.")
    associations_per_peer: int = Field(16, ge=1, description="Associations at the same time, of one address.")

    spool_max_bytes: int = Field(100 << 30, ge=1 << 20, description="Spool quota that the watermarks refer to.")
    spool_reserve_bytes: int = Field(5 << 30, ge=0, description="Free disk below which senders are asked to wait.")
    quarantine_max_bytes: int = Field(
        10 << 30, ge=0, description="Bytes kept of unparseable instances; beyond it only the reason."
    )
    study_quiet_seconds: float = Field(60.0, gt=0, description="A study that receives nothing for so long is complete.")
    seal_originals: bool = Field(True, description="Encrypt originals at rest (AES-256-GCM), under a key per study.")
    originals_days: int = Field(30, ge=0, description="Days that originals are kept after archiving.")

    workers: int = Field(2, ge=1, description="Worker processes that `serve` starts.")
    default_profile: str = Field("research-longitudinal", description="Profile of senders that name none.")
    profiles: Path | None = Field(None, description="Folder of further profiles; the shipped ones are always there.")
    small_cell: int = Field(11, ge=2, description="Counts below this are shown as `<k` (CASD rule for PMSI).")

    procedure_codes: Path | None = Field(
        None, description="CSV of hospitals' own procedure codes and their CCAM acts, for linkage without an INS."
    )
    spark: str | None = Field(None, description="Master URL of the Spark that runs cohorts; unset, DuckDB does.")

    orthanc_source_user: str | None = Field(None, description="User at the Orthanc that `pull --orthanc` reads.")
    orthanc_source_password: SecretStr | None = Field(None, description="That user's password.")
    orthanc_sink_url: str | None = Field(None, description="Orthanc that receives a copy of what is archived.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe event logged.")

    @model_validator(mode="after")
    def refuse_unsafe(self) -> Self:
        """Raise `ValueError` for settings that would expose identities or leave a database unprotected."""
        loopback = self.bind_address in ("127.0.0.1", "::1", "localhost")
        tls = self.dicom_tls_certificate is not None
        if tls != (self.dicom_tls_key is not None):
            raise ValueError("dicom_tls_certificate and dicom_tls_key go together")
        if not loopback and not tls and not self.allow_plaintext_dicom:
            raise ValueError("DICOM without TLS beyond loopback needs allow_plaintext_dicom")
        if self.database_url is not None and self.database_role_password is None:
            raise ValueError("database_url needs database_role_password, the password of the hub's own roles")
        if self.trust_database_url is not None and self.trust_database_role_password is None:
            raise ValueError("trust_database_url needs trust_database_role_password, the password of its role")
        if self.trust_url is not None and not _is_confidential(self.trust_url):
            raise ValueError("trust_url must be https beyond loopback")
        if self.environment == "demonstration" and not loopback:
            raise ValueError("a demonstration accepts test identities, so it stays on loopback")
        return self

    @property
    def spool(self) -> Path:
        """Folder of the spool."""
        return self.home / "identifying" / "spool"

    @property
    def handover_socket(self) -> Path:
        """Unix socket of inline de-identification."""
        return self.home / "identifying" / "handover.sock"

    @property
    def embedded_database(self) -> Path:
        """Data folder of the embedded PostgreSQL."""
        return self.home / "identifying" / "postgres"

    @property
    def keys(self) -> Path:
        """Folder of the keyrings, mode 0600 each."""
        return self.home / "keys"

    @property
    def embedded_vault(self) -> Path:
        """Data folder of the third party's embedded PostgreSQL."""
        return self.home / "trust" / "postgres"

    @property
    def trust_keys(self) -> Path:
        """Folder of the third party's keyrings."""
        return self.home / "trust" / "keys"

    @property
    def third_party_url(self) -> str:
        """URL of the third party."""
        return self.trust_url or f"http://127.0.0.1:{self.trust_port}"

    @property
    def objects(self) -> str:
        """URL of the archive's object store."""
        return self.object_store_url or (self.home / "archive" / "objects").absolute().as_uri()

    @property
    def tables(self) -> Path:
        """Folder of the Parquet tables of the de-identified zone."""
        return self.home / "archive" / "tables"

    @property
    def profile_folders(self) -> tuple[Path, ...]:
        """Folders of profiles beside those that are shipped."""
        return () if self.profiles is None else (self.profiles,)

    @property
    def hub_url(self) -> str:
        """Origin of the hub for browsers."""
        return self.hub_origin or f"http://{self.bind_address}:{self.hub_port}"

    @property
    def console_url(self) -> str:
        """Origin of the console for browsers."""
        return self.console_origin or f"http://{self.bind_address}:{self.console_port}"

    def as_environment(self) -> dict[str, str]:
        """Return these settings as environment variables, for the processes that `serve` starts."""
        given = self.model_dump(mode="json", exclude_defaults=True)
        for name in given:
            if isinstance(secret := getattr(self, name), SecretStr):
                given[name] = secret.get_secret_value()
        given["home"] = str(self.home.absolute())
        return {f"IMAGING_HUB_{name.upper()}": str(value) for name, value in given.items() if value is not None}


def _is_confidential(url: str) -> bool:
    """Whether the connection is encrypted or stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in ("127.0.0.1", "::1", "localhost")


def load(config: Path | None = None, **overrides: object) -> Settings:
    """Read the settings from the environment, a TOML file and `overrides`, in rising precedence.

    Raises `SettingsError`, which names the setting and not its value.
    """
    values: dict[str, object] = {}
    if config is not None:
        values = _read_toml(config)
    try:
        return Settings(**{**values, **overrides})  # type: ignore[arg-type]
    except ValidationError as fault:
        errors = "; ".join(
            ": ".join(filter(None, (".".join(map(str, e["loc"])), e["msg"]))) for e in fault.errors(include_input=False)
        )
        raise SettingsError(errors, hint="see docs/operations.md for every setting") from None


def _read_toml(config: Path) -> dict[str, object]:
    try:
        content = config.read_bytes()
    except OSError:
        raise SettingsError("the configuration file cannot be read", hint=f"check {config}") from None
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as fault:  # deep nesting, and a number of thousands of digits, are refused too
        message = f"{config.name}:{_line_of(fault, content)}: this is not TOML"
        raise SettingsError(message, hint="check quotes and brackets; save it as UTF-8") from None


def _line_of(fault: Exception, content: bytes) -> int:
    """Where a TOML file is wrong: tomllib tells it in words only."""
    named = _TOML_LINE.search(str(fault))
    if named is not None:
        return int(named[1])
    return len(content.splitlines()) if "end of document" in str(fault) else 1


def process_environment() -> dict[str, str]:
    """Return the environment of this process, for the processes it starts."""
    return dict(os.environ)
