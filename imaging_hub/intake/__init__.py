"""Instances as they arrive, in the identifying zone: spool of originals, journal, quarantine, retention."""
