"""From where a request comes."""

from __future__ import annotations

from starlette.requests import Request


def is_local(request: Request) -> bool:
    """From this machine and not through a proxy, whose every request would look local."""
    forwarded = {"x-forwarded-for", "forwarded", "x-real-ip"} & set(request.headers)
    return request.client is not None and request.client.host in ("127.0.0.1", "::1") and not forwarded
