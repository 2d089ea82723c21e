"""A synthetic SNDS extraction and the matching hospital studies, generated from the same events.

The same number of persons and seed give the same files, to the byte. Nobody in it exists: `people` says how its NIR
differ from those in use. `truth.json` holds the identities, and what a correct load and linkage must find.
"""

from __future__ import annotations

from imaging_hub.synthetic.generator import synthesize

__all__ = ["synthesize"]
