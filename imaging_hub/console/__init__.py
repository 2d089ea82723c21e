"""The console: a small web app of the identifying zone, for people of the hospital and for reviewers.

It shows what came, what is held and why, what was refused and the cure, and the BEFORE of a review. Lists name
no patient; an original is shown only one at a time, and looking at one is on the audit trail. It reads the
identifying zone as a database role of its own, which may write nothing but the trail.
"""

from __future__ import annotations

from imaging_hub.console.app import create_console

__all__ = ["create_console"]
