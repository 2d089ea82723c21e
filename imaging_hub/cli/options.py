"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path | None, typer.Option("--config", help="TOML settings file.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
