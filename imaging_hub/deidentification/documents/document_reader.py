"""The text of an encapsulated document, read in a process of its own that a hostile document may use up or bring down.

    text = read(document, "encapsulated-pdf")   # Document | None

Run as a program it reads one document from standard input and writes what it found as JSON to standard output.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from xml.etree import ElementTree as ET

PDF, CDA = "encapsulated-pdf", "encapsulated-cda"
LONGEST = 64 << 20
"""Bytes of a document that is read."""

_PAGES, _CHARACTERS = 300, 2_000_000
_SECONDS, _BYTES = 20, 1 << 30


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """What can be read of a document."""

    pages: tuple[str, ...]
    """Text of each page, in reading order; of a CDA document all there is, attributes too, as one."""
    beside: str
    """Text that no page shows: title, author, bookmarks, names of attachments."""

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join((*self.pages, self.beside))


def read(document: bytes, kind: str) -> ReadDocument | None:
    """The text of a PDF or CDA document; None when it cannot be read whole, in time and in memory."""
    if not document or len(document) > LONGEST:
        return None
    # Isolated (-I): neither the environment nor the working directory decides on what is run. By its file: as a module
    # it would import the engine first, half a second for each document.
    command = [sys.executable, "-I", __file__, kind]
    try:
        # Its limit is processor time; the one here is for a machine that is busy.
        done = subprocess.run(command, input=document, capture_output=True, timeout=6 * _SECONDS, check=True)
        found = json.loads(done.stdout)
        return ReadDocument(tuple(found["pages"]), found["beside"])
    except (subprocess.SubprocessError, OSError, ValueError, LookupError):
        return None


def _main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    document = sys.stdin.buffer.read(LONGEST + 1)
    pages, beside = (_pdf if sys.argv[1] == PDF else _cda)(document)
    if sum(map(len, pages)) + len(beside) > _CHARACTERS:
        sys.exit(1)
    json.dump({"pages": pages, "beside": beside}, sys.stdout)


def _pdf(document: bytes) -> tuple[list[str], str]:
    import pypdfium2

    pdf = pypdfium2.PdfDocument(document)
    if len(pdf) > _PAGES:
        sys.exit(1)
    pages = [page.get_textpage().get_text_bounded() for page in pdf]
    beside = [*pdf.get_metadata_dict().values(), *(mark.get_title() for mark in pdf.get_toc())]
    beside += [pdf.get_attachment(place).get_name() for place in range(pdf.count_attachments())]
    return pages, "\n".join(beside)


def _cda(document: bytes) -> tuple[list[str], str]:
    # Of an odd length, a document is padded (PS3.5 §8.2).
    for padding in (0, document.endswith(b"\0")):
        with suppress(ET.ParseError):
            root = ET.fromstring(document[: len(document) - padding])  # noqa: S314 - bounded by this process
            return ["\n".join(_words(root))], ""
    sys.exit(1)


def _words(root: ET.Element) -> Iterator[str]:
    for element in root.iter():
        yield from element.attrib.values()
        yield from (text for text in (element.text, element.tail) if text and text.strip())


if __name__ == "__main__":
    _main()
