"""Types of parameters that several routes of the console share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from imaging_hub.console.authorization import ALL_ROLES, STAFF, ConsoleRequest, RequiresRole

StaffRequest = Annotated[ConsoleRequest, RequiresRole(STAFF)]
AnyOperatorRequest = Annotated[ConsoleRequest, RequiresRole(ALL_ROLES)]
RowNumber = Annotated[int, Path(ge=1, lt=1 << 62)]
"""Number of a row of the journal or of a study, from the path."""
