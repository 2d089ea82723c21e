"""Streamed multipart/related responses with a Content-Length (PS3.18 §8.6.1.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from uuid import uuid4

from starlette.responses import StreamingResponse

ReadBody: TypeAlias = Callable[[], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class BodyPart:
    """A part of a response; `read` is called when the part is sent, so that waiting parts take no memory."""

    media_type: str
    """Content type, with `; transfer-syntax=…` where needed."""
    size: int
    """Number of bytes that `read` returns."""
    read: ReadBody


def multipart_response(parts: Sequence[BodyPart], media_type: str) -> StreamingResponse:
    """Return the parts as one response; after a fault it is shorter than its Content-Length, which clients notice."""
    boundary = uuid4().hex
    heads = [
        f"--{boundary}\r\nContent-Type: {part.media_type}\r\nContent-Length: {part.size}\r\n\r\n".encode()
        for part in parts
    ]
    tail = f"--{boundary}--\r\n".encode()

    def body() -> Iterator[bytes]:
        for head, part in zip(heads, parts, strict=True):
            yield head
            yield from part.read()
            yield b"\r\n"
        yield tail

    size = sum(len(head) + part.size + 2 for head, part in zip(heads, parts, strict=True)) + len(tail)
    return StreamingResponse(
        body(),
        media_type=f'multipart/related; type="{media_type}"; boundary={boundary}',
        headers={"Content-Length": str(size)},
    )
