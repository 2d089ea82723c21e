"""HTML pages: Jinja2 with autoescaping and without undefined names; no inline script or style."""

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
    """The templates of one app, and behind them those that all apps share."""

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
        """Render a page; `values` override the context that every page gets."""
        known = {"request": request, **self._context(request), **(values or {})}
        html = self._environment.get_template(template).render(known)
        return HTMLResponse(html, status, dict(headers or {}))


def in_bytes(size: int | None) -> str:
    """Format a size for people in powers of ten: `1.4 GB`."""
    amount = float(size or 0)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def in_thousands(number: int | None) -> str:
    """Format a number with thin no-break spaces, as French and English accept: `12 345`; None is a dash."""
    return "–" if number is None else f"{number:,}".replace(",", "\u202f")


def moment(at: datetime | None) -> str:
    """Format a time to the minute, in UTC."""
    if at is None:
        return "–"
    utc = at.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(utc.isoformat(), utc.strftime("%Y-%m-%d %H:%M UTC"))


def short(uid: str) -> str:
    """Return the end of a UID or digest, enough to tell rows apart."""
    return uid if len(uid) <= 12 else f"…{uid[-10:]}"
