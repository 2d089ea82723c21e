"""Texts of the console's pages, in French."""

from __future__ import annotations

from typing import Any

from imaging_hub.gateway.rejection_log import RefusalSummary
from imaging_hub.reasons import association_refusals, quarantine_reasons
from imaging_hub.reasons.reason_text import ReasonText

TEXTS: dict[str, Any] = {
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

PART_NAMES: dict[str, str] = {
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


def part_name(subject: str) -> str:
    """Return the French name of a part of the hub."""
    return PART_NAMES.get(subject, subject)


def explain_quarantine(reason: str) -> ReasonText:
    """Explain a quarantine reason and its remedy, in French."""
    return quarantine_reasons.explain(reason).french


def explain_refusal(refusal: RefusalSummary, our_title: str) -> ReasonText:
    """Explain a refusal and its remedy, in French; `our_title` is our AE title."""
    explanation = association_refusals.explain(
        refusal.reason, calling=refusal.calling_ae_title, address=refusal.address, ours=our_title
    )
    return explanation.french
