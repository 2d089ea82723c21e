"""Why an instance is in quarantine: the codes that reception, de-identification and the worker give."""

from __future__ import annotations

from collections.abc import Mapping

from imaging_hub.reasons.malformed import MALFORMED, MALFORMED_PREFIX
from imaging_hub.reasons.reason_text import ReasonExplanation, ReasonText


def explain(code: str) -> ReasonExplanation:
    """The explanation of a reason code; a code that is in no table was given by a profile's `quarantine`."""
    return QUARANTINE.get(code) or MALFORMED.get(code.removeprefix(MALFORMED_PREFIX)) or OF_A_PROFILE


OF_A_PROFILE = ReasonExplanation(
    ReasonText(
        "Une règle de quarantaine du profil retient cette instance ; ce code est le sien.",
        "Si la règle est trop large, corrigez le profil, puis retraitez l'instance.",
    ),
    ReasonText(
        "A quarantine rule of the profile holds it back; the code is the rule's.",
        "If the rule is too wide, mend the profile and process the instance again.",
    ),
)

_NOTHING = "Rien à faire : elle reste en quarantaine."
_NOTHING_IN_ENGLISH = "Nothing: it stays in quarantine."
_TRANSCRIBE = "Rien à faire, sauf si le projet en a besoin : un profil peut en transmettre le texte nettoyé."
_TRANSCRIBE_IN_ENGLISH = "Nothing, unless the project needs it: a profile can pass on its cleaned text."
_MEND_UIDS = "Corrigez ces identifiants à la source, puis renvoyez l'examen."
_MEND_UIDS_IN_ENGLISH = "Mend these UIDs at the source and send the study again."
_MEND_IDENTITY = "Corrigez l'identité au PACS, puis renvoyez l'examen."
_MEND_IDENTITY_IN_ENGLISH = "Mend the identity at the PACS and send the study again."
_TELL_OPERATOR = "Transmettez son numéro et ce code à l'exploitant du hub."

QUARANTINE: Mapping[str, ReasonExplanation] = {
    # At reception: what the sender says does not agree with what it sends.
    "invalid-sop-uid": ReasonExplanation(
        ReasonText("Le SOP Instance UID ou le SOP Class UID n'est pas un UID.", _MEND_UIDS),
        ReasonText("The SOP Instance UID or SOP Class UID is no UID.", _MEND_UIDS_IN_ENGLISH),
    ),
    "invalid-study-or-series-uid": ReasonExplanation(
        ReasonText("L'UID de l'examen ou de la série n'est pas un UID.", _MEND_UIDS),
        ReasonText("The UID of the study or series is no UID.", _MEND_UIDS_IN_ENGLISH),
    ),
    "study-or-series-uid-missing": ReasonExplanation(
        ReasonText("L'UID de l'examen ou de la série manque : l'instance n'appartient à aucun examen.", _MEND_UIDS),
        ReasonText("The UID of the study or series is missing: it belongs to no study.", _MEND_UIDS_IN_ENGLISH),
    ),
    "sop-instance-uid-mismatch": ReasonExplanation(
        ReasonText("L'instance porte un autre SOP Instance UID que celui annoncé.", _MEND_UIDS),
        ReasonText("Its SOP Instance UID is not the one under which it was sent.", _MEND_UIDS_IN_ENGLISH),
    ),
    "sop-class-uid-mismatch": ReasonExplanation(
        ReasonText("L'instance porte un autre SOP Class UID que celui annoncé.", _MEND_UIDS),
        ReasonText("Its SOP Class UID is not the one under which it was sent.", _MEND_UIDS_IN_ENGLISH),
    ),
    "study-instance-uid-mismatch": ReasonExplanation(
        ReasonText("L'instance n'est pas de l'examen que nomme l'adresse de l'envoi.", _MEND_UIDS),
        ReasonText("It is not of the study to whose address it was sent.", _MEND_UIDS_IN_ENGLISH),
    ),
    "sop-instance-conflict": ReasonExplanation(
        ReasonText(
            "La même instance est déjà arrivée avec un autre contenu.",
            "Vérifiez au PACS laquelle fait foi ; la première est conservée, rien n'est écrasé.",
        ),
        ReasonText(
            "The same instance came before with other content.",
            "Check at the PACS which is right; the first is kept, nothing is overwritten.",
        ),
    ),
    # Whose images these are.
    "patient-conflict": ReasonExplanation(
        ReasonText("L'examen porte deux identifiants de patient.", _MEND_IDENTITY),
        ReasonText("The study names two patients.", _MEND_IDENTITY_IN_ENGLISH),
    ),
    "study-of-two-patients": ReasonExplanation(
        ReasonText("Les fichiers d'un même examen nomment deux patients.", _MEND_IDENTITY),
        ReasonText("The files of one study name two patients.", _MEND_IDENTITY_IN_ENGLISH),
    ),
    "patient-id-missing": ReasonExplanation(
        ReasonText("L'examen ne porte pas d'identifiant de patient.", _MEND_IDENTITY),
        ReasonText("The study has no Patient ID.", _MEND_IDENTITY_IN_ENGLISH),
    ),
    "ins-conflict": ReasonExplanation(
        ReasonText(
            "Deux INS qualifiées sont venues sous le même IPP.",
            "Signalez-le à la cellule d'identitovigilance ; les examens de cet IPP restent en quarantaine.",
        ),
        ReasonText(
            "Two qualified INS came under one hospital number.",
            "Tell those who watch over identities at the hospital; studies of that number stay in quarantine.",
        ),
    ),
    "patient-opposes": ReasonExplanation(
        ReasonText(
            "Le patient s'oppose à l'utilisation de ses données : rien n'est conservé.",
            "Rien à faire ; ne renvoyez pas l'examen.",
        ),
        ReasonText(
            "The patient opposes the use of their data; nothing was kept.", "Nothing; do not send the study again."
        ),
    ),
    "send-again": ReasonExplanation(
        ReasonText(
            "L'examen entier en dit plus que l'instance seule (autre nom, autres règles) ; l'original n'a pas été"
            " gardé.",
            "Renvoyez l'examen : il sera alors traité entier.",
        ),
        ReasonText(
            "The whole study tells more than the instance alone (another name, other rules), and no original was kept.",
            "Send the study again: it is then treated whole.",
        ),
    ),
    # What the engine does not pass.
    "burned-in-text-possible": ReasonExplanation(
        ReasonText(
            "L'image peut contenir du texte incrusté (nom, date de naissance).",
            "Rien à faire : ces images restent en quarantaine tant que les pixels ne sont pas nettoyés.",
        ),
        ReasonText(
            "The image may hold burned-in text (name, date of birth).",
            "Nothing: such images stay in quarantine as long as pixels are not cleaned.",
        ),
    ),
    "recorded-voice-possible": ReasonExplanation(
        ReasonText("L'objet peut contenir une voix enregistrée.", _NOTHING),
        ReasonText("The object may hold a recorded voice.", _NOTHING_IN_ENGLISH),
    ),
    "residual-identifier": ReasonExplanation(
        ReasonText(
            "Un identifiant du patient restait après dé-identification.",
            "Signalez l'attribut indiqué au délégué à la protection des données ; le profil doit être complété.",
        ),
        ReasonText(
            "An identifier of the patient was still there after de-identification.",
            "Tell the data protection officer which attribute; the profile has to be completed.",
        ),
    ),
    "rejected-by-profile": ReasonExplanation(
        ReasonText(
            "Une règle du profil refuse les instances qui portent l'attribut indiqué.",
            "Si la règle est trop large, corrigez le profil, puis retraitez l'instance.",
        ),
        ReasonText(
            "A rule of the profile rejects instances with that attribute.",
            "If the rule is too wide, mend the profile and process the instance again.",
        ),
    ),
    "unknown-sop-class": ReasonExplanation(
        ReasonText(
            "Aucun profil ne couvre ce type d'objet.", "Choisissez un profil qui le couvre : imaging-hub profile list."
        ),
        ReasonText("No profile covers this kind of object.", "Choose a profile that does: imaging-hub profile list."),
    ),
    "media-directory": ReasonExplanation(
        ReasonText(
            "C'est le sommaire d'un CD ou d'un dossier (DICOMDIR), pas une image.",
            "Rien à faire : les images qu'il nomme arrivent sans lui.",
        ),
        ReasonText(
            "The table of contents of a disc (DICOMDIR), not an image.",
            "Nothing: the images that it names come without it.",
        ),
    ),
    "missing-uid": ReasonExplanation(
        ReasonText("L'UID indiqué manque.", _MEND_UIDS), ReasonText("That UID is missing.", _MEND_UIDS_IN_ENGLISH)
    ),
    "unknown-character-set": ReasonExplanation(
        ReasonText(
            "Le jeu de caractères déclaré (0008,0005) est inconnu : le texte ne peut être relu.",
            "Corrigez-le à la source, puis renvoyez l'examen.",
        ),
        ReasonText(
            "The declared character set (0008,0005) is unknown, so its text cannot be read.",
            "Mend it at the source and send the study again.",
        ),
    ),
    "undecodable-text": ReasonExplanation(
        ReasonText(
            "Le texte de l'attribut indiqué n'est pas dans le jeu de caractères déclaré (0008,0005).",
            "Corrigez-le à la source, puis renvoyez l'examen.",
        ),
        ReasonText(
            "The text of that attribute is not in the declared character set (0008,0005).",
            "Mend it at the source and send the study again.",
        ),
    ),
    "no-date-shift": ReasonExplanation(
        ReasonText("Le profil décale les dates, et ce patient n'a pas de décalage.", _TELL_OPERATOR),
        ReasonText(
            "The profile shifts dates, and the patient has no shift.", "Tell those who maintain the hub: a fault of it."
        ),
    ),
    "engine-fault": ReasonExplanation(
        ReasonText(
            "Le moteur de dé-identification a échoué sur cette instance.",
            "Transmettez son numéro à l'exploitant du hub : le journal des workers dit où (engine-fault).",
        ),
        ReasonText(
            "The de-identification engine failed on it.",
            "The log of the workers says where (engine-fault): report the fault.",
        ),
    ),
    "processing-failed": ReasonExplanation(
        ReasonText("Le traitement de l'examen a échoué plusieurs fois.", _TELL_OPERATOR),
        ReasonText("Processing the study failed several times.", "Read the log of the worker, then process it again."),
    ),
    # Encapsulated documents.
    "encapsulated-document": ReasonExplanation(
        ReasonText(
            "Le document joint (PDF, CDA) reste en quarantaine ; son texte ne nomme pas le patient.", _TRANSCRIBE
        ),
        ReasonText(
            "The document (PDF, CDA) stays in quarantine; its text does not name the patient.", _TRANSCRIBE_IN_ENGLISH
        ),
    ),
    "document-with-identifier": ReasonExplanation(
        ReasonText("Le texte du document joint nomme le patient.", _TRANSCRIBE),
        ReasonText("The text of the document names the patient.", _TRANSCRIBE_IN_ENGLISH),
    ),
    "document-dropped": ReasonExplanation(
        ReasonText("Le projet ne reçoit pas de documents.", "Rien à faire : le profil le veut ainsi."),
        ReasonText("The project takes no documents.", "Nothing: the profile wants it so."),
    ),
    "document-unreadable": ReasonExplanation(
        ReasonText(
            "Le document joint est illisible, protégé par un mot de passe ou trop grand.",
            "Renvoyez-le sans protection si le projet en a besoin.",
        ),
        ReasonText(
            "The document cannot be read: broken, protected by a password, or too large.",
            "Send it without protection if the project needs it.",
        ),
    ),
    "document-without-text": ReasonExplanation(
        ReasonText("Le document joint est une image (document numérisé) : son texte ne peut être nettoyé.", _NOTHING),
        ReasonText("The document is a scan, without text to clean.", _NOTHING_IN_ENGLISH),
    ),
    "unreadable-file": ReasonExplanation(
        ReasonText("Le fichier ne peut pas être lu.", "Vérifiez ses droits et le disque, puis recommencez."),
        ReasonText("The file cannot be read.", "Check its permissions and the disk, and try again."),
    ),
}
"""Each reason of our own but those of malformed data, by its code."""
