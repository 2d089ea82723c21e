"""A document written anew: the text that may leave, set in plain pages, and nothing else of the original.

No picture, drawing, font, form, attachment or property of the source is carried over, so that none has to be trusted.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Iterator

_COLUMNS, _LINES = 92, 58
_MARGIN, _SIZE, _LEADING = 42, 10, 13
_HEAD = "Transcript: cleaned text only. Pictures, drawings and layout of the original are not here."


def pdf(pages: Iterable[str]) -> bytes:
    """Write text as a PDF document, each page of it on pages of its own; the same bytes for the same text."""
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfgen.canvas import Canvas

    made = io.BytesIO()
    # Neither the time of writing nor compression: what it says can be searched for as bytes.
    canvas = Canvas(made, pagesize=A4, invariant=True, pageCompression=0)
    canvas.setTitle("Transcript")
    for lines in _sheets(pages):
        sheet = canvas.beginText(_MARGIN, A4[1] - _MARGIN)
        sheet.setFont("Helvetica", _SIZE, _LEADING)
        for line in (_HEAD, "", *lines):
            sheet.textLine(line)
        canvas.drawText(sheet)
        canvas.showPage()
    canvas.save()
    return made.getvalue()


def _sheets(pages: Iterable[str]) -> Iterator[list[str]]:
    for page in pages:
        lines = [part for line in page.splitlines() for part in textwrap.wrap(_latin(line), _COLUMNS) or [""]]
        for first in range(0, max(len(lines), 1), _LINES):
            yield lines[first : first + _LINES]


def _latin(text: str) -> str:
    """What the standard fonts of PDF have letters for."""
    return "".join(c if c.isprintable() else " " for c in text).encode("cp1252", "replace").decode("cp1252")
