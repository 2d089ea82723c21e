"""What is wrong with bytes that are not the DICOM they claim to be: the codes of `errors.MalformedDataset`."""

from __future__ import annotations

from collections.abc import Mapping

from imaging_hub.reasons.reason_text import ReasonExplanation, ReasonText

MALFORMED_PREFIX = "malformed-"
"""Stands before a code of this table where de-identification, and not reception, found the fault."""


def _fault(french: str, english: str) -> ReasonExplanation:
    """A fault of the equipment or the transport: the remedy is the same for all."""
    return ReasonExplanation(
        ReasonText(french, "Renvoyez l'examen ; si cela se répète, vérifiez l'équipement d'origine."),
        ReasonText(english, "Send the study again; if it happens again, check the equipment that made it."),
    )


MALFORMED: Mapping[str, ReasonExplanation] = {
    "not-dicom": _fault("Ce n'est pas un fichier DICOM.", "This is no DICOM file."),
    "no-transfer-syntax": _fault("Le fichier ne dit pas comment il est encodé.", "The file names no transfer syntax."),
    "unsupported-transfer-syntax": _fault(
        "L'encodage de l'objet (syntaxe de transfert) n'est pas lu ici.", "Its transfer syntax is not read here."
    ),
    "empty-dataset": _fault("L'objet est vide.", "The object is empty."),
    "truncated": _fault("L'objet est tronqué.", "The object is cut short."),
    "trailing-bytes": _fault("Des octets suivent la fin de l'objet.", "Bytes follow the end of the object."),
    "deflate-bomb": _fault(
        "L'objet comprimé dépasse toute limite une fois décomprimé.", "The object inflates beyond the limit."
    ),
    "bad-vr": _fault(
        "Un attribut a un type (VR) qu'il ne peut pas avoir.", "An attribute has a Value Representation it cannot have."
    ),
    "bad-length": _fault("Une longueur ne correspond pas aux données.", "A length does not agree with the data."),
    "bad-value": _fault("Une valeur n'est pas le nombre annoncé.", "A value is not the number that its VR promises."),
    "duplicate-element": _fault("Un attribut apparaît deux fois.", "An attribute occurs twice."),
    "out-of-order-element": _fault(
        "Les attributs ne sont pas dans l'ordre croissant.", "Attributes are not in ascending order."
    ),
    "unexpected-delimiter": _fault(
        "Un délimiteur d'item manque ou n'est pas à sa place.", "A delimiter of an item is missing or out of place."
    ),
    "nested-too-deep": _fault("Les séquences sont imbriquées trop profondément.", "Sequences are nested too deep."),
    "too-many-elements": _fault(
        "L'objet a plus d'attributs que la limite.", "The object has more attributes than the limit."
    ),
}
"""Each fault by its code, the same whoever finds it."""
