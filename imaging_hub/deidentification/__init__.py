"""De-identification: a `SourceInstance` goes in, a `DeidentifiedInstance` or a `Quarantined` comes out.

What is named here is for those who want the engine alone, and stays as it is within a major version; see
docs/deidentification.md. It needs no database, network or settings.

Built in layers, each of which imports only those above it:

    standard_tables, standard_edition     the tables of PS3.15 Annex E, and how two editions of them differ
    attribute, instance                   attributes by keyword; what goes in and comes out
    identifiers                           what identifies a patient: collected, cleaned out of text, searched for
    documents                             encapsulated PDF and CDA documents
    profile                               a profile as its YAML file says it
    engine                                a profile compiled, and applied to one instance
    folder, dry_run                       files without a hub: de-identified, or tried with nothing written
    attribute_explanation, profile_check  a profile explained and checked, for people
"""

from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.engine.plan import Plan, compile
from imaging_hub.deidentification.folder import FileOutcome, pseudonyms
from imaging_hub.deidentification.folder import deidentify as deidentify_files
from imaging_hub.deidentification.identifiers.collector import collect
from imaging_hub.deidentification.profile.profile import Profile, load, shipped
from imaging_hub.deidentification.source_and_outcome import (
    AttributeChange,
    DeidentifiedInstance,
    Pseudonyms,
    Quarantined,
    SourceInstance,
)

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
