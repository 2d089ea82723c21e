"""The one door between the zones: a `SourceInstance` goes in, a `DeidentifiedInstance` or a `Quarantined` comes out.

What is named here is for those who want the engine alone, and stays as it is within a major version; see
docs/deidentification.md. It needs no database, network or settings.
"""

from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.engine.plan import Plan, compile
from imaging_hub.deidentification.folder import FileOutcome, pseudonyms
from imaging_hub.deidentification.folder import deidentify as deidentify_files
from imaging_hub.deidentification.identifiers.collector import collect
from imaging_hub.deidentification.instance import (
    AttributeChange,
    DeidentifiedInstance,
    Pseudonyms,
    Quarantined,
    SourceInstance,
)
from imaging_hub.deidentification.profile.profile import Profile, load, shipped

__all__ = [
    "AttributeChange",
    "DeidentifiedInstance",
    "Deidentifier",
    "FileOutcome",
    "Plan",
    "Profile",
    "Pseudonyms",
    "Quarantined",
    "SourceInstance",
    "collect",
    "compile",
    "deidentify_files",
    "load",
    "pseudonyms",
    "shipped",
]
