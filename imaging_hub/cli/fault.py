"""A fault on a terminal: what is wrong, its code, and what to do, each on a line of its own."""

from __future__ import annotations

from rich.console import Console

from imaging_hub.errors import HubError


def print_fault(fault: HubError) -> None:
    """Print a fault with its code and remedy on standard error; lines are not broken, for programs read them too."""
    console = Console(stderr=True, soft_wrap=True)
    console.print(f"{fault} [{fault.code}]", markup=False, highlight=False)
    if fault.hint:
        console.print(f"What to do: {fault.hint}", markup=False, highlight=False)
