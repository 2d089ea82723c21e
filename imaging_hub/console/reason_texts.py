"""The console's words, in French: what a reason means to people of the hospital, and what cures it."""

from __future__ import annotations

from typing import Any

SITE: dict[str, Any] = {
    "name": "Console de l'établissement",
    "tagline": "zone identifiante",
    "zone": "identifying",
    "lang": "fr",
    "footer": "Zone identifiante : chaque consultation d'un original est inscrite au journal d'audit.",
    "roles": {"hospital": "établissement", "radiologist": "radiologue"},
    "problems": {
        "not-found": "Cette page n'existe pas.",
        "not-authenticated": "Veuillez vous identifier.",
        "role-lacks": "Votre rôle ne permet pas cette consultation.",
        "original-gone": "L'original n'est plus conservé.",
        "not-open": "Cet examen n'est pas en cours de réception.",
        "not-replayable": "Rien ne peut être retraité : illisible, en conflit, ou déjà détruit.",
        "ae-title": "Un AE title a 1 à 16 caractères ASCII imprimables.",
        "address": "Ce n'est ni une adresse IP ni un réseau.",
        "undecodable-pixels": "L'image ne peut pas être décodée.",
        "internal-error": "La console n'a pas pu répondre.",
        "database-unavailable": "La base de données ne répond pas ; réessayez dans une minute.",
        "foreign-origin": "Cette demande vient d'un autre site et a été refusée.",
        "invalid-request": "L'adresse demandée n'a pas la bonne forme.",
        "method-not-allowed": "Cette action n'existe pas.",
    },
    "words": {
        "skip": "Aller au contenu",
        "main": "Navigation principale",
        "sign_in": "Se connecter",
        "sign_out": "Se déconnecter",
        "sign_in_how": "Collez le jeton remis par votre établissement. Il donne accès à des données identifiantes.",
        "sign_in_refused": "Ce jeton est inconnu ou son accès est expiré.",
        "token": "Jeton",
        "problem": "La demande n'a pas abouti",
        "what_to_do": "Que faire :",
        "home": "Retour à l'accueil",
    },
}

QUARANTINE: dict[str, tuple[str, str]] = {
    "burned-in-text-possible": (
        "L'image peut contenir du texte incrusté (nom, date de naissance).",
        "Rien à faire : ces images restent en quarantaine tant que les pixels ne sont pas nettoyés.",
    ),
    "residual-identifier": (
        "Un identifiant du patient restait après dé-identification.",
        "Signalez l'attribut indiqué au délégué à la protection des données ; le profil doit être complété.",
    ),
    "unknown-sop-class": (
        "Aucun profil ne couvre ce type d'objet.",
        "Choisissez un profil qui le couvre : imaging-hub profile list.",
    ),
    "unknown-character-set": (
        "Le jeu de caractères déclaré (0008,0005) est inconnu : le texte ne peut être relu.",
        "Corrigez-le à la source, puis renvoyez l'examen.",
    ),
    "media-directory": (
        "C'est le sommaire d'un CD ou d'un dossier (DICOMDIR), pas une image.",
        "Rien à faire : les images qu'il nomme arrivent sans lui.",
    ),
    "encapsulated-document": (
        "Le document joint (PDF, CDA) reste en quarantaine ; son texte ne nomme pas le patient.",
        "Rien à faire, sauf si le projet en a besoin : un profil peut en transmettre le texte nettoyé.",
    ),
    "document-with-identifier": (
        "Le texte du document joint nomme le patient.",
        "Rien à faire, sauf si le projet en a besoin : un profil peut en transmettre le texte nettoyé.",
    ),
    "document-dropped": (
        "Le projet ne reçoit pas de documents.",
        "Rien à faire : le profil le veut ainsi.",
    ),
    "document-unreadable": (
        "Le document joint est illisible, protégé par un mot de passe ou trop grand.",
        "Renvoyez-le sans protection si le projet en a besoin.",
    ),
    "document-without-text": (
        "Le document joint est une image (document numérisé) : son texte ne peut être nettoyé.",
        "Rien à faire : il reste en quarantaine.",
    ),
    "sop-instance-conflict": (
        "La même instance est déjà arrivée avec un autre contenu.",
        "Vérifiez au PACS laquelle fait foi ; la première est conservée, rien n'est écrasé.",
    ),
    "patient-conflict": (
        "L'examen porte deux identifiants de patient.",
        "Corrigez l'identité au PACS, puis renvoyez l'examen.",
    ),
    "send-again": (
        "L'examen entier en dit plus que l'instance seule (autre nom, autres règles) ; l'original n'a pas été gardé.",
        "Renvoyez l'examen : il sera alors traité entier.",
    ),
    "patient-opposes": (
        "Le patient s'oppose à l'utilisation de ses données : rien n'est conservé.",
        "Rien à faire ; ne renvoyez pas l'examen.",
    ),
    "engine-fault": (
        "Le moteur de dé-identification a échoué sur cette instance.",
        "Transmettez son numéro à l'exploitant du hub : le journal des workers dit où (engine-fault).",
    ),
}

MALFORMED: tuple[str, str] = (
    "Le fichier n'est pas un objet DICOM bien formé.",
    "Renvoyez l'examen ; si cela se répète, vérifiez l'équipement d'origine.",
)
OTHER: tuple[str, str] = (
    "Un doute subsiste : l'instance ne sort pas de la zone identifiante.",
    "Transmettez son numéro et ce code à l'exploitant du hub.",
)
_MALFORMED_CODES = frozenset(
    (
        *("truncated", "bad-vr", "bad-length", "bad-value", "nested-too-deep", "too-many-elements", "not-dicom"),
        *("duplicate-element", "out-of-order-element", "trailing-bytes", "unexpected-delimiter", "deflate-bomb"),
        *("unsupported-transfer-syntax", "no-transfer-syntax"),
    )
)

REFUSALS: dict[str, tuple[str, str]] = {
    "unknown-sender": (
        "Cet AE title n'est pas connu à cette adresse.",
        "imaging-hub sender add {calling} {address} --hospital NOM --finess NUMÉRO",
    ),
    "wrong-address": (
        "Cet AE title est connu, mais pas à cette adresse.",
        "imaging-hub sender add {calling} {address} --hospital NOM --finess NUMÉRO",
    ),
    "not-dicom": (
        "Un autre protocole que DICOM a été parlé sur ce port.",
        "Vérifiez le port au PACS, et quel programme appelle depuis {address}.",
    ),
    "unexpected-tls": (
        "L'expéditeur chiffre (TLS), mais ce port est sans TLS.",
        "Désactivez TLS au PACS, ou donnez un certificat au hub : IMAGING_HUB_DICOM_TLS_CERTIFICATE.",
    ),
    "missing-tls": (
        "L'expéditeur ne chiffre pas, mais ce port exige TLS.",
        "Activez TLS au PACS pour cette destination.",
    ),
    "tls-version": (
        "L'expéditeur n'a aucune version ni suite TLS acceptée.",
        "Il faut TLS 1.2 ou 1.3 avec ECDHE : mettez le PACS à jour.",
    ),
    "certificate-missing": (
        "L'expéditeur n'a pas présenté de certificat TLS.",
        "Installez au PACS un certificat signé par une autorité de IMAGING_HUB_DICOM_TLS_CLIENT_CA.",
    ),
    "certificate-expired": (
        "Le certificat TLS de l'expéditeur a expiré.",
        "Renouvelez-le au PACS, et vérifiez l'heure des deux machines.",
    ),
    "certificate-untrusted": (
        "Le certificat TLS de l'expéditeur n'est signé par aucune de nos autorités.",
        "Ajoutez son autorité à IMAGING_HUB_DICOM_TLS_CLIENT_CA, ou signez-le par une autorité connue.",
    ),
    "our-certificate-refused": (
        "L'expéditeur n'accepte pas notre certificat TLS.",
        "Donnez au PACS l'autorité qui a signé IMAGING_HUB_DICOM_TLS_CERTIFICATE, et vérifiez sa date de fin.",
    ),
    "wrong-called-ae-title": (
        "L'expéditeur appelle un autre AE title que le nôtre.",
        "Configurez « {ours} » comme AE title appelé au PACS.",
    ),
    "wrong-certificate": (
        "Le certificat TLS présenté n'est pas celui de cet expéditeur.",
        "Si le PACS a un nouveau certificat : imaging-hub sender add {calling} {address} … --certificate FICHIER.pem",
    ),
    "may-not-retrieve": (
        "Cet expéditeur n'a pas le droit d'interroger ni de reprendre ses originaux.",
        "S'il doit l'avoir : imaging-hub sender add {calling} {address} … --retrieve",
    ),
    "application-context": (
        "Ce n'est pas une association DICOM.",
        "Vérifiez que l'expéditeur est bien un nœud DICOM.",
    ),
    "spool-full": (
        "L'espace d'arrivée est plein ; l'expéditeur réessaiera.",
        "Libérez de l'espace ou augmentez IMAGING_HUB_SPOOL_MAX_BYTES.",
    ),
    "database-away": (
        "Le journal n'était pas joignable ; l'expéditeur réessaiera.",
        "Vérifiez PostgreSQL ; la console répond si elle est revenue.",
    ),
    "shutting-down": ("Le service s'arrêtait ; l'expéditeur réessaiera.", "Rien à faire."),
    "too-many-associations": (
        "Trop d'associations simultanées.",
        "Réduisez-les au PACS, ou augmentez IMAGING_HUB_ASSOCIATIONS_PER_PEER.",
    ),
    "sop-class-refused": (
        "Ce type d'objet n'est pas un objet à archiver.",
        "Retirez-le de l'envoi ; les autres objets passent.",
    ),
    "transfer-syntax-refused": (
        "Aucune des syntaxes de transfert proposées n'est acceptée.",
        "Proposez aussi Explicit VR Little Endian.",
    ),
}


PARTS: dict[str, str] = {
    "home": "dossier",
    "certificate": "certificat",
    "keys": "clés",
    "disk": "disque",
    "gateway": "réception",
    "hub": "hub",
    "console": "console",
    "archive": "archive",
    "sink": "copie Orthanc",
    "database": "base de données",
    "clock": "horloge",
    "schema": "schéma",
    "senders": "expéditeurs",
    "profile": "profil",
    "spool": "zone d'arrivée",
    "workers": "processus de travail",
    "refusals": "associations refusées",
    "query": "PACS à interroger",
}


def part(subject: str) -> str:
    """A part of the hub by its French name."""
    return PARTS.get(subject, subject)


def why_held(reason: str) -> tuple[str, str]:
    """What a quarantine reason means, and what to do."""
    return QUARANTINE.get(reason, MALFORMED if reason in _MALFORMED_CODES else OTHER)


def why_refused(reason: str, calling: str, address: str, ours: str) -> tuple[str, str]:
    """What a refusal means, and the command or setting that cures it."""
    cause, cure = REFUSALS.get(reason, ("L'association a été refusée.", "Transmettez ce code à l'exploitant du hub."))
    return cause, cure.format(calling=calling, address=address, ours=ours)
