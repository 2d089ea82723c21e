"""The console: web app of the identifying zone, for the hospital's staff and for reviewers.

It shows receipts, quarantine with reasons, refusals with remedies, and the BEFORE images of a review. Lists name no
patient; an original is shown one at a time, and each look is recorded in the audit trail. Its database role reads the
identifying zone, and writes only what the staff's actions need.
"""

from __future__ import annotations

from imaging_hub.console.app import create_console

__all__ = ["create_console"]
