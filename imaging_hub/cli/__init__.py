"""The command line: one file per group of verbs, imported only when one of them is called.

A plain install has the client's verbs; the others need the extra `[hub]`.
"""

from __future__ import annotations

import importlib
import json
import sys
from importlib.metadata import distribution
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from imaging_hub import __version__
from imaging_hub.cli.fault import print_fault
from imaging_hub.errors import HubError

_VERBS = {
    "demo": "Run the whole hub with synthetic patients on one machine.",
    "serve": "Run gateway, workers, hub, console and third party together.",
    "gateway": "Run the DICOM receiver alone.",
    "conformance": "The DICOM conformance statement of a configuration.",
    "worker": "Run one worker alone.",
    "inline-deidentification": "De-identify before the acknowledgement, for senders whose originals are never kept.",
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
    "doctor": "Name the problems of the hub, each with its remedy.",
}
_MODULES = {
    **dict.fromkeys(("gateway", "worker", "inline-deidentification", "web", "console"), "processes"),
    "project": "permit",
    "verify": "download",
    "import": "folder_import",
}
"""Verbs whose file has another name."""


class _Verbs(TyperGroup):
    """Lists all verbs and imports the file of the one that is called.

    Typer vendors click, so the types of contexts and commands have no public name.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _VERBS:
            return None
        if ctx.resilient_parsing or "--help" in sys.argv[1:2]:
            return TyperCommand(cmd_name, help=_VERBS[cmd_name])
        module = importlib.import_module(f"imaging_hub.cli.{_MODULES.get(cmd_name, cmd_name)}")
        command = typer.main.get_command(getattr(module, f"{cmd_name.replace('-', '_')}_app", None) or module.app)
        command.name = cmd_name
        return command


def _with_the_service() -> str:
    """The command that adds the service to this installation, from where pip has it (PEP 610): no index has it."""
    recorded = distribution("imaging-hub").read_text("direct_url.json")
    if not recorded:
        return "pip install 'imaging-hub[hub]'"
    origin = json.loads(recorded)
    url, digest = origin["url"], origin.get("archive_info", {}).get("hash")
    return f"pip install 'imaging-hub[hub] @ {url}#{digest}'" if digest else f"pip install 'imaging-hub[hub] @ {url}'"


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
    """Run the command line. Exit status: 0 done, 1 failed, 2 wrong call."""
    try:
        app()
    except HubError as fault:
        print_fault(fault)
        sys.exit(1)
    except ModuleNotFoundError as missing:
        if not missing.name or missing.name.startswith("imaging_hub"):
            raise
        hint = f"this needs the service, of which `{missing.name}` is not installed: {_with_the_service()}"
        Console(stderr=True).print(hint, markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
