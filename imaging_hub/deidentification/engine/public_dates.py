"""Dates that others can know: what is published, and what is the same for all whom a device or a trial serves.

Moved by the patient's offset such a date would tell it, and with it every date of the patient. Retain Longitudinal
Temporal Information with Modified Dates (PS3.15 §E.3.6) is for the patient's own dates: for these the action of the
Basic Profile remains.
"""

from __future__ import annotations

from functools import cache

from imaging_hub.dicom import dictionary

WHY = {
    "ContextGroupVersion": "published: the edition of a code list (PS3.16)",
    "ContextGroupLocalVersion": "published by who extends a code list",
    "TemplateVersion": "published: the edition of a template (PS3.16)",
    "TemplateLocalVersion": "published by who extends a template",
    "EffectiveDateTime": "published by the maker of an implant",
    "InformationIssueDateTime": "published by the maker of an implant",
    "HangingProtocolCreationDateTime": "the same wherever a hanging protocol is used",
    "EthicsCommitteeApprovalEffectivenessStartDate": "the same for all of a trial, and in its register",
    "EthicsCommitteeApprovalEffectivenessEndDate": "the same for all of a trial, and in its register",
    "CalibrationDate": "the same for all of a device",
    "CalibrationDateTime": "the same for all of a dosimeter",
    "DateOfLastCalibration": "the same for all of a device",
    "DateTimeOfLastCalibration": "the same for all of a device",
    "DateOfLastDetectorCalibration": "the same for all of a detector",
    "DateOfManufacture": "the same for all of a device",
    "DateOfInstallation": "the same for all of a device",
    "DateOfGainCalibration": "the same for all of a detector",
    "ProductExpirationDateTime": "the same for all of a lot",
    "ExpiryDate": "the same for all of a lot",
    "ProcedureCreationDate": "the same for all of an inspection procedure",
    "ProcedureExpirationDate": "the same for all of an inspection procedure",
    "ProcedureLastModifiedDate": "the same for all of an inspection procedure",
    "ItemInventoryDateTime": "the same for all of an inventory",
    "ExpirationDateTime": "the same for all of an inventory",
    "StudyUpdateDateTime": "the same for all of an inventory",
}
"""Keyword to who knows the date."""


@cache
def tags() -> frozenset[int]:
    """Look up the tags of these attributes."""
    return frozenset(dictionary.tag(keyword) for keyword in WHY)
