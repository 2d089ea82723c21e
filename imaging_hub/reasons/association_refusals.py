"""Why an association or a presentation context was refused: the codes of `gateway.rejections.RefusalReason`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from imaging_hub.reasons.reason_text import ReasonExplanation, ReasonText


def explain(code: str, *, calling: str, address: str, ours: str) -> ReasonExplanation:
    """The explanation of a refusal; `calling` and `address` are the peer's AE title and address, `ours` our AE title.

    Commands in it can be copied into a shell: an AE title is whatever a stranger sent, so it is quoted.
    """
    facts = {"calling": shlex.quote(calling), "address": shlex.quote(address), "ours": ours}
    found = REFUSALS.get(code, _UNKNOWN)
    return ReasonExplanation(found.french.filled(**facts), found.english.filled(**facts))


REFUSALS: Mapping[str, ReasonExplanation] = {
    "unknown-sender": ReasonExplanation(
        ReasonText(
            "Cet AE title n'est pas connu à cette adresse.",
            "imaging-hub sender add {calling} {address} --hospital NOM --finess NUMÉRO",
        ),
        ReasonText(
            "nobody of that AE title may send",
            "imaging-hub sender add {calling} {address} --hospital NAME --finess NUMBER",
        ),
    ),
    "wrong-address": ReasonExplanation(
        ReasonText(
            "Cet AE title est connu, mais pas à cette adresse.",
            "imaging-hub sender add {calling} {address} --hospital NOM --finess NUMÉRO",
        ),
        ReasonText(
            "that AE title is known at another address",
            "imaging-hub sender add {calling} {address} --hospital NAME --finess NUMBER",
        ),
    ),
    "wrong-called-ae-title": ReasonExplanation(
        ReasonText(
            "L'expéditeur appelle un autre AE title que le nôtre.",
            "Configurez « {ours} » comme AE title appelé au PACS.",
        ),
        ReasonText("that is not our AE title", "call {ours} at the PACS, or change ae_title"),
    ),
    "wrong-certificate": ReasonExplanation(
        ReasonText(
            "Le certificat TLS présenté n'est pas celui de cet expéditeur.",
            "Si le PACS a un nouveau certificat :"
            " imaging-hub sender add {calling} {address} … --certificate FICHIER.pem",
        ),
        ReasonText(
            "not its own certificate",
            "if the PACS has a new one: imaging-hub sender add {calling} {address} … --certificate FILE.pem",
        ),
    ),
    "may-not-retrieve": ReasonExplanation(
        ReasonText(
            "Cet expéditeur n'a pas le droit d'interroger ni de reprendre ses originaux.",
            "S'il doit l'avoir : imaging-hub sender add {calling} {address} … --retrieve",
        ),
        ReasonText(
            "it may not query, nor retrieve its originals",
            "if it should: imaging-hub sender add {calling} {address} … --retrieve",
        ),
    ),
    "application-context": ReasonExplanation(
        ReasonText("Ce n'est pas une association DICOM.", "Vérifiez que l'expéditeur est bien un nœud DICOM."),
        ReasonText("no DICOM application context", "check that the sender is a DICOM node"),
    ),
    "not-dicom": ReasonExplanation(
        ReasonText(
            "Un autre protocole que DICOM a été parlé sur ce port.",
            "Vérifiez le port au PACS, et quel programme appelle depuis {address}.",
        ),
        ReasonText(
            "another protocol on the DICOM port", "check the port there, and which program calls from {address}"
        ),
    ),
    "unexpected-tls": ReasonExplanation(
        ReasonText(
            "L'expéditeur chiffre (TLS), mais ce port est sans TLS.",
            "Désactivez TLS au PACS, ou donnez un certificat au hub : IMAGING_HUB_DICOM_TLS_CERTIFICATE.",
        ),
        ReasonText(
            "it speaks TLS and this port does not",
            "switch TLS off at the PACS, or set IMAGING_HUB_DICOM_TLS_CERTIFICATE",
        ),
    ),
    "missing-tls": ReasonExplanation(
        ReasonText(
            "L'expéditeur ne chiffre pas, mais ce port exige TLS.", "Activez TLS au PACS pour cette destination."
        ),
        ReasonText("it speaks no TLS and this port does", "switch TLS on at the PACS for this destination"),
    ),
    "tls-version": ReasonExplanation(
        ReasonText(
            "L'expéditeur n'a aucune version ni suite TLS acceptée.",
            "Il faut TLS 1.2 ou 1.3 avec ECDHE : mettez le PACS à jour.",
        ),
        ReasonText("no TLS version or cipher in common", "update the PACS: TLS 1.2 or 1.3 with ECDHE"),
    ),
    "certificate-missing": ReasonExplanation(
        ReasonText(
            "L'expéditeur n'a pas présenté de certificat TLS.",
            "Installez au PACS un certificat signé par une autorité de IMAGING_HUB_DICOM_TLS_CLIENT_CA.",
        ),
        ReasonText(
            "it showed no certificate",
            "install one at the PACS that an authority of IMAGING_HUB_DICOM_TLS_CLIENT_CA signed",
        ),
    ),
    "certificate-expired": ReasonExplanation(
        ReasonText(
            "Le certificat TLS de l'expéditeur a expiré.",
            "Renouvelez-le au PACS, et vérifiez l'heure des deux machines.",
        ),
        ReasonText("its certificate has expired", "renew it at the PACS, and check both clocks"),
    ),
    "certificate-untrusted": ReasonExplanation(
        ReasonText(
            "Le certificat TLS de l'expéditeur n'est signé par aucune de nos autorités.",
            "Ajoutez son autorité à IMAGING_HUB_DICOM_TLS_CLIENT_CA, ou signez-le par une autorité connue.",
        ),
        ReasonText(
            "none of our authorities signed its certificate",
            "add its authority to IMAGING_HUB_DICOM_TLS_CLIENT_CA, or have a known one sign it",
        ),
    ),
    "our-certificate-refused": ReasonExplanation(
        ReasonText(
            "L'expéditeur n'accepte pas notre certificat TLS.",
            "Donnez au PACS l'autorité qui a signé IMAGING_HUB_DICOM_TLS_CERTIFICATE, et vérifiez sa date de fin.",
        ),
        ReasonText(
            "it does not trust our certificate",
            "give the PACS the authority of IMAGING_HUB_DICOM_TLS_CERTIFICATE, and check when that ends",
        ),
    ),
    "spool-full": ReasonExplanation(
        ReasonText(
            "L'espace d'arrivée est plein ; l'expéditeur réessaiera.",
            "Libérez de l'espace ou augmentez IMAGING_HUB_SPOOL_MAX_BYTES.",
        ),
        ReasonText("the spool was full; it comes again", "free space, or raise IMAGING_HUB_SPOOL_MAX_BYTES"),
    ),
    "database-away": ReasonExplanation(
        ReasonText(
            "Le journal n'était pas joignable ; l'expéditeur réessaiera.",
            "Vérifiez PostgreSQL ; la console répond si elle est revenue.",
        ),
        ReasonText("the journal could not be reached; it comes again", "check PostgreSQL"),
    ),
    "shutting-down": ReasonExplanation(
        ReasonText("Le service s'arrêtait ; l'expéditeur réessaiera.", "Rien à faire."),
        ReasonText("the gateway was stopping; it comes again", "nothing"),
    ),
    "too-many-associations": ReasonExplanation(
        ReasonText(
            "Trop d'associations simultanées.",
            "Réduisez-les au PACS, ou augmentez IMAGING_HUB_ASSOCIATIONS_PER_PEER.",
        ),
        ReasonText("too many associations at once", "fewer at the PACS, or raise IMAGING_HUB_ASSOCIATIONS_PER_PEER"),
    ),
    "sop-class-refused": ReasonExplanation(
        ReasonText(
            "Ce type d'objet n'est pas un objet à archiver.", "Retirez-le de l'envoi ; les autres objets passent."
        ),
        ReasonText("not a storage SOP Class", "take it out of what the PACS sends; the rest passes"),
    ),
    "transfer-syntax-refused": ReasonExplanation(
        ReasonText(
            "Aucune des syntaxes de transfert proposées n'est acceptée.",
            "Proposez aussi Explicit VR Little Endian.",
        ),
        ReasonText("none of the proposed transfer syntaxes is accepted", "propose Explicit VR Little Endian too"),
    ),
}
"""Each refusal by its code."""

_UNKNOWN = ReasonExplanation(
    ReasonText("L'association a été refusée.", "Transmettez ce code à l'exploitant du hub."),
    ReasonText("the association was refused", "look for the code in the log of the gateway"),
)
