"""The DICOM conformance statement (PS3.2), from the configuration and the tables that the gateway uses."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from string import Template

from imaging_hub import __version__
from imaging_hub.deidentification import standard_tables
from imaging_hub.dicom import sop_class, transfer_syntax
from imaging_hub.gateway.connection import FIRST_PDU_MAX_BYTES, IDLE_SECONDS
from imaging_hub.intake import query_matches
from imaging_hub.retrieval import query_retrieve_scu
from imaging_hub.settings import Settings


def statement(settings: Settings) -> str:
    """Return the statement of a hub with these settings, in Markdown."""
    template = Template(files(__package__).joinpath("conformance_statement.md").read_text("utf-8"))
    return template.substitute(
        version=__version__,
        ae_title=settings.ae_title,
        port=settings.dicom_port,
        gateway_http=f"port {settings.gateway_port}" if settings.gateway_port else "switched off here",
        pdu_max=_size(settings.pdu_max_bytes),
        first_pdu_max=_size(min(settings.pdu_max_bytes, FIRST_PDU_MAX_BYTES)),
        dataset_max=_size(settings.dataset_max_bytes),
        idle=f"{IDLE_SECONDS:g}",
        pdu_deadline=f"{settings.pdu_deadline_seconds:g}",
        associations_max=settings.associations_max,
        associations_per_peer=settings.associations_per_peer,
        query_scp="yes, of what a hospital sent itself" if settings.query_port else "no (`query_port` is not set)",
        query_port=settings.query_port or "none",
        get_contexts=len(query_retrieve_scu.GET_SOP_CLASSES),
        find_most=query_matches.MAX_MATCHES,
        commitment="for senders whose originals are kept always" if settings.query_port else "no",
        edition=standard_tables.edition(),
        security=_security(settings),
        transfer_syntaxes=_rows((transfer_syntax.KNOWN[uid].name, uid) for uid in transfer_syntax.NEGOTIATED),
        sop_classes=_rows(sorted((name, uid) for uid, name in sop_class.NAMES.items())),
    )


def _security(settings: Settings) -> str:
    if settings.dicom_tls_certificate is None:
        return "without TLS"
    if settings.dicom_tls_client_ca is None:
        return "over TLS; senders need no certificate"
    return "over TLS, with a certificate of each sender"


def _rows(pairs: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"| {name} | {uid} |" for name, uid in pairs)


def _size(count: int) -> str:
    """Bytes in the largest unit that divides them."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count} bytes"
