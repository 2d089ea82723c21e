"""A small coherent SNDS and the matching hospital studies, from the same seeded events.

Same persons and seed, same files, to the byte. Nobody in it exists: see `people` for how NIR are kept apart from
those in use. `truth.json` holds what no real hub ever has: who is who, and what a right load and link must find.
"""

from __future__ import annotations

from imaging_hub.synthetic.generator import synthesize

__all__ = ["synthesize"]
