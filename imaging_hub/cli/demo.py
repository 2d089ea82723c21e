"""`imaging-hub demo`: the whole hub on one machine, with synthetic patients and the real processes."""

from __future__ import annotations

import fcntl
import shutil
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console

from imaging_hub.cli.demo_steps import Demonstration, run_steps
from imaging_hub.cli.serve import HubProcesses, prepare
from imaging_hub.errors import HubError
from imaging_hub.settings import Settings, load

app = typer.Typer()

_MARK = ".imaging-hub-demo"


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop at the end, with status 0 or 1.")] = False,
    home: Annotated[Path, typer.Option(help="Folder of the demo; made anew each time.")] = Path("demo-data"),
    persons: Annotated[int, typer.Option(min=50, help="Persons of the synthetic SNDS.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of everything synthetic.")] = 2026,
) -> None:
    """Run every step with synthetic patients, and keep serving the pages."""
    began = time.monotonic()
    console = Console(soft_wrap=True)
    lock = _prepare_folder(home)
    settings = _settings(home)
    hub = prepare(settings)
    processes = HubProcesses(settings, hub)
    watcher = threading.Thread(target=processes.watch, daemon=True)
    watcher.start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    demonstration = Demonstration(settings, hub.database, console)
    try:
        run_steps(demonstration, home, persons, seed, began)
        if not once:
            console.print("\nThe pages stay up; end with Ctrl-C.")
            threading.Event().wait()
    except KeyboardInterrupt:
        if once:
            raise typer.Exit(1) from None
    finally:
        processes.stop()
        watcher.join()
        hub.dispose()
        lock.close()


def _prepare_folder(home: Path) -> TextIO:
    """Empty the folder of a former demo; return its mark, locked until it is closed."""
    if home.is_symlink() or (home.exists() and not home.is_dir()):
        raise HubError("the home of the demo is no folder", code="demo", hint="choose another --home")
    if home.exists() and any(home.iterdir()) and not (home / _MARK).exists():
        raise HubError("the folder holds something that is no demo", code="demo", hint="choose another --home")
    try:
        home.mkdir(parents=True, exist_ok=True)
        mark = (home / _MARK).open("a")
    except OSError:
        raise HubError("the folder cannot be made", code="demo", hint="choose another --home") from None
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        mark.close()
        raise HubError(
            "another demo runs in this folder", code="demo", hint="end that one, or choose another --home"
        ) from None
    for entry in home.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != _MARK:
            entry.unlink()
    return mark


def _settings(home: Path) -> Settings:
    defaults = load()
    names = ("dicom_port", "gateway_port", "hub_port", "console_port", "trust_port")
    ports = {name: _free_port(getattr(defaults, name)) for name in names}
    return load(
        None,
        home=home.absolute(),
        environment="demonstration",
        study_quiet_seconds=3.0,
        spool_reserve_bytes=0,
        log_level="warning",
        **ports,
    )


def _free_port(wanted: int) -> int:
    """Return the port, or any free one when it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            port_bound: int = probe.getsockname()[1]
            return port_bound
    return wanted
