"""The one door between the zones: a `SourceInstance` goes in, a `DeidentifiedInstance` or a `Quarantined` comes out.

What is named here is for those who want the engine alone, and stays as it is within a major version; see
docs/deidentification.md. It needs no database, network or settings.
"""

from imaging_hub.deidentification.engine import Engine
from imaging_hub.deidentification.folder import Outcome, pseudonyms
from imaging_hub.deidentification.folder import deidentify as deidentify_files
from imaging_hub.deidentification.identifiers import collect
from imaging_hub.deidentification.instance import (
    Change,
    DeidentifiedInstance,
    Pseudonyms,
    Quarantined,
    SourceInstance,
)
from imaging_hub.deidentification.plan import Plan, compile
from imaging_hub.deidentification.profile import Profile, load, shipped

__all__ = [
    "Change",
    "DeidentifiedInstance",
    "Engine",
    "Outcome",
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
