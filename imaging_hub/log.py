"""Structured log that cannot hold an identity: only fields of an allow-list, with numbers or codes as values.

Messages of libraries are reduced to a name and a level, since pydicom's warnings quote values and pynetdicom's
logger writes identifiers.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from ipaddress import ip_address
from types import TracebackType

import structlog
from structlog.typing import EventDict, ExcInfo, WrappedLogger

from imaging_hub.errors import FaultSite

log: structlog.stdlib.BoundLogger = structlog.get_logger()
"""The logger: `log.info("instance-received", row=12, outcome="stored")`."""

WITHHELD = "withheld"
"""Written in place of a value that does not have the form of its field."""

_CODE = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]{0,63}\Z")
_HEX = re.compile(r"[0-9a-f]{8,64}\Z")
_FINESS = re.compile(r"[0-9][0-9AB][0-9]{7}\Z")
_LINE = re.compile(r"[0-9]{1,6}\Z")
_LIBRARIES = ("pydicom", "pynetdicom")


def _number_or_withheld(value: object) -> object:
    return value if value is None or isinstance(value, int | float) else WITHHELD


def _code_or_withheld(value: object) -> object:
    if value is None or (isinstance(value, str) and _CODE.match(value)):
        return value
    return WITHHELD


def _address_or_withheld(value: object) -> object:
    try:
        return str(ip_address(str(value)))
    except ValueError:
        return WITHHELD


def _place_or_withheld(value: object) -> object:
    """Keep `module:line` if the module is one of ours."""
    module, _, line = str(value).partition(":")
    known = not value or (f"{__package__}.{module}" in sys.modules and _LINE.match(line))
    return value if known else WITHHELD


def _matching(form: re.Pattern[str]) -> Callable[[object], object]:
    return lambda value: value if isinstance(value, str) and form.match(value) else WITHHELD


_FIELDS: dict[str, Callable[[object], object]] = {
    **dict.fromkeys(
        (
            "row",
            "study",
            "sequence",
            "status",
            "port",
            "seconds",
            "bytes",
            "attempts",
            "pid",
            "version",
            "count",
            "instances",
            "studies",
            "stored",
            "duplicates",
            "quarantined",
            "failed",
            "archived",
            "purged",
            "rejected",
        ),
        _number_or_withheld,
    ),
    **dict.fromkeys(
        ("reason", "code", "outcome", "state", "fault", "part", "job", "role", "profile", "library"), _code_or_withheld
    ),
    "place": _place_or_withheld,
    "address": _address_or_withheld,
    "finess": _matching(_FINESS),
    "release": _matching(_HEX),
    "cohort": _matching(_HEX),
}
"""Every field that may be logged, with the function that checks its value."""


def configure(level: str) -> None:
    """Write events of `level` and above to standard error as JSON, and silence libraries; call it once, at start."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            filter_fields,
            structlog.processors.JSONRenderer(ensure_ascii=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    logging.basicConfig(handlers=[_LibraryHandler()], level=logging.WARNING, force=True)
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = False
        library.setLevel(logging.CRITICAL + 1)
    warnings.showwarning = _log_warning
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda hook: _log_uncaught(hook.exc_type, hook.exc_value, hook.exc_traceback)


def filter_fields(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep the fields of the allow-list; reduce an exception to class, code and stack, without its message."""
    fault = event.pop("exc_info", None)
    kept: EventDict = {"event": _code_or_withheld(event.pop("event", None))}
    for name in ("level", "timestamp"):
        if name in event:
            kept[name] = event.pop(name)
    for name, value in event.items():
        if name in _FIELDS:
            kept[name] = _FIELDS[name](value)
    if fault:
        kept.update(_describe_exception(fault))
    return kept


def _describe_exception(fault: ExcInfo | BaseException | bool) -> EventDict:
    """Return class, code and stack of an exception, without its message, which may quote data."""
    error = fault if isinstance(fault, BaseException) else sys.exc_info()[1] if fault is True else fault[1]  # type: ignore[index]
    if error is None:
        return {}
    stack = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)][-12:]
    site = FaultSite.from_exception(error)
    description: EventDict = {"fault": site.kind, "place": site.place, "stack": stack}
    if (code := getattr(error, "code", None)) is not None:
        description["code"] = _code_or_withheld(code)
    return description


class _LibraryHandler(logging.Handler):
    """Logs the name of a library and the level of its message, without the message."""

    def emit(self, record: logging.LogRecord) -> None:
        log.warning("library-message", library=record.name, code=record.levelname)


def _log_warning(message: object, category: type[Warning], *_: object, **__: object) -> None:
    log.debug("library-warning", code=category.__name__)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, _trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    log.critical("uncaught", exc_info=error)
