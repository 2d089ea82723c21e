"""The command line: one file a verb group, loaded only when its verb is called.

A plain install has the client verbs; the others ask for the `[hub]` extra by name.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from imaging_hub import __version__
from imaging_hub.errors import HubError

_VERBS = {
    "demo": "The whole story on one machine.",
    "serve": "Run gateway, workers, hub, console and third party together.",
    "gateway": "Run the DICOM receiver alone.",
    "conformance": "The DICOM conformance statement of a configuration.",
    "worker": "Run one worker alone.",
    "inline-deidentification": "De-identify before the answer, for senders whose originals are never kept.",
    "web": "Run the hub's API and pages alone.",
    "console": "Run the hospital's console alone.",
    "sender": "Hospitals that may send.",
    "pull": "Retrieve studies from a PACS or an Orthanc.",
    "import": "Take a folder of DICOM files as if it had been sent.",
    "operator": "People who may use the console.",
    "deidentify": "De-identify a folder offline.",
    "profile": "De-identification profiles, for people.",
    "snds": "SNDS tables: synthesize, load, link.",
    "account": "People and programs of the hub.",
    "project": "Research projects.",
    "permit": "Permits: grant, revoke, list.",
    "cohort": "Check, count, freeze and release cohorts.",
    "download": "Download a release.",
    "verify": "Verify a downloaded release.",
    "opposition": "People who oppose the use of their data.",
    "trust": "The trusted third party: run it, new keys, shares.",
    "audit": "Verify the audit trail; search for a NIR where none may be.",
    "doctor": "Name what is wrong with the hub, and the cure.",
}
_MODULES = {
    "console": "web",
    "project": "permit",
    "verify": "download",
    "import": "folder_import",
    "inline-deidentification": "inline_deidentification",
}
"""Verbs whose file is not of their name."""


class _Verbs(TyperGroup):
    """Lists every verb at once and imports the file of the one that is called.

    Typer keeps its own click to itself, so the types of contexts and commands have no public name.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _VERBS:
            return None
        if ctx.resilient_parsing or "--help" in sys.argv[1:2]:
            return TyperCommand(cmd_name, help=_VERBS[cmd_name])
        try:
            module = importlib.import_module(f"imaging_hub.cli.{_MODULES.get(cmd_name, cmd_name)}")
        except ModuleNotFoundError as missing:
            if missing.name and missing.name.startswith("imaging_hub"):
                raise
            Console(stderr=True).print(
                f"`{cmd_name}` needs the service: pip install 'imaging-hub[hub]'", markup=False, highlight=False
            )
            raise typer.Exit(2) from None
        command = typer.main.get_command(getattr(module, f"{cmd_name}_app", None) or module.app)
        command.name = cmd_name
        return command


app = typer.Typer(cls=_Verbs, no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def hub(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """A medical imaging data service with a DICOM gateway."""


def main() -> None:
    """Run the command line: 0 done, 1 failed, 2 wrong call."""
    try:
        app()
    except HubError as fault:
        console = Console(stderr=True)
        console.print(f"{fault} [{fault.code}]", markup=False, highlight=False)
        if fault.hint:
            console.print(f"What to do: {fault.hint}", markup=False, highlight=False)
        sys.exit(1)
