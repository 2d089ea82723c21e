"""multipart/related answers (PS3.18 §8.6.1.2) that are streamed, and whose length is said beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from uuid import uuid4

from starlette.responses import StreamingResponse

ReadBody: TypeAlias = Callable[[], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class BodyPart:
    """One part; `read` is called when its turn comes, so that parts that wait hold no memory."""

    media_type: str
    """Content type, with `; transfer-syntax=…` where that is not evident."""
    size: int
    """Bytes that `read` will give."""
    read: ReadBody


def respond(parts: Sequence[BodyPart], media_type: str) -> StreamingResponse:
    """The parts as one answer; a fault midway leaves it short of its Content-Length, so nobody takes it for whole."""
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
