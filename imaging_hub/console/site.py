"""The words around every page of the console, in French."""

from __future__ import annotations

from typing import Any

from imaging_hub.gateway.rejections import RefusalSummary
from imaging_hub.reasons import quarantine, refusals
from imaging_hub.reasons.explanation import ReasonText

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
    "third party": "tiers de confiance",
    "inline-deidentification": "dé-identification à la réception",
}


def part(subject: str) -> str:
    """A part of the hub by its French name."""
    return PARTS.get(subject, subject)


def why_held(reason: str) -> ReasonText:
    """What a quarantine reason means, and what to do, in French."""
    return quarantine.explain(reason).french


def why_refused(refusal: RefusalSummary, ours: str) -> ReasonText:
    """What a refusal means, and the command or setting that cures it, in French; `ours` is our AE title."""
    explained = refusals.explain(refusal.reason, calling=refusal.calling_ae_title, address=refusal.address, ours=ours)
    return explained.french
