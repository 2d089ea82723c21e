"""HTML pages: Jinja2 with autoescaping and no undefined names, one small stylesheet, no inline script or style."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
"""Stylesheet, mark and scripts of both apps."""


class PageTemplates:
    """The pages of one app: its own templates first, then those that both apps share."""

    def __init__(self, folder: Path, context: Callable[[Request], dict[str, Any]]) -> None:
        self._context = context
        self._environment = Environment(
            loader=ChoiceLoader([FileSystemLoader(folder), FileSystemLoader(_HERE / "templates")]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {"bytes": in_bytes, "count": in_thousands, "moment": moment, "short": short}

    def render(
        self,
        request: Request,
        template: str,
        values: Mapping[str, Any] | None = None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> HTMLResponse:
        """One page; `values` win over what every page gets."""
        known = {"request": request, **self._context(request), **(values or {})}
        html = self._environment.get_template(template).render(known)
        return HTMLResponse(html, status, dict(headers or {}))


def in_bytes(size: int | None) -> str:
    """A size for people: `1.4 GB`, powers of ten as disks are sold."""
    amount = float(size or 0)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def in_thousands(number: int | None) -> str:
    """`12 345` with thin no-break spaces, as both languages accept it; nothing known is a dash."""
    return "–" if number is None else f"{number:,}".replace(",", "\u202f")


def moment(at: datetime | None) -> str:
    """A moment to the minute, in UTC and said so."""
    if at is None:
        return "–"
    utc = at.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(utc.isoformat(), utc.strftime("%Y-%m-%d %H:%M UTC"))


def short(uid: str) -> str:
    """The end of a UID or digest, enough to tell rows apart; the whole stands in the link's title."""
    return uid if len(uid) <= 12 else f"…{uid[-10:]}"
