"""Logs that cannot hold an identity: one event per thing that happened, fields from an allow-list, nothing else.

Values are numbers, or codes of a fixed form; text that was read from data has no way in. What
libraries log or warn is counted, not written: pydicom's warnings quote values, pynetdicom's
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
"""The one logger. `log.info("instance-received", row=12, outcome="stored")`."""

WITHHELD = "withheld"
"""Stands where a value was not of the form its field allows."""

_CODE = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]{0,63}\Z")
_HEX = re.compile(r"[0-9a-f]{8,64}\Z")
_FINESS = re.compile(r"[0-9][0-9AB][0-9]{7}\Z")
_LINE = re.compile(r"[0-9]{1,6}\Z")
_LIBRARIES = ("pydicom", "pynetdicom")


def _number(value: object) -> object:
    return value if value is None or isinstance(value, int | float) else WITHHELD


def _code(value: object) -> object:
    if value is None or (isinstance(value, str) and _CODE.match(value)):
        return value
    return WITHHELD


def _address(value: object) -> object:
    try:
        return str(ip_address(str(value)))
    except ValueError:
        return WITHHELD


def _place(value: object) -> object:
    """Module and line; what is no module of ours is no place."""
    module, _, line = str(value).partition(":")
    known = not value or (f"{__package__}.{module}" in sys.modules and _LINE.match(line))
    return value if known else WITHHELD


def _of(form: re.Pattern[str]) -> Callable[[object], object]:
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
        _number,
    ),
    **dict.fromkeys(
        ("reason", "code", "outcome", "state", "fault", "part", "job", "role", "profile", "library"), _code
    ),
    "place": _place,
    "address": _address,
    "finess": _of(_FINESS),
    "release": _of(_HEX),
    "cohort": _of(_HEX),
}
"""Every field that may be logged, and what becomes of its value."""


def configure(level: str) -> None:
    """Send events of `level` and above to standard error as JSON; silence libraries. Once, at start."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            allow,
            structlog.processors.JSONRenderer(ensure_ascii=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    logging.basicConfig(handlers=[_Unquoted()], level=logging.WARNING, force=True)
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = False
        library.setLevel(logging.CRITICAL + 1)
    warnings.showwarning = _warned
    sys.excepthook = _uncaught
    threading.excepthook = lambda hook: _uncaught(hook.exc_type, hook.exc_value, hook.exc_traceback)


def allow(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep what the allow-list names; turn an exception into its class, code and stack, without its message."""
    fault = event.pop("exc_info", None)
    kept: EventDict = {"event": _code(event.pop("event", None))}
    for name in ("level", "timestamp"):
        if name in event:
            kept[name] = event.pop(name)
    for name, value in event.items():
        if name in _FIELDS:
            kept[name] = _FIELDS[name](value)
    if fault:
        kept.update(_fault(fault))
    return kept


def _fault(fault: ExcInfo | BaseException | bool) -> EventDict:
    """Class, code and place of an exception. Its message may quote data, so it stays out."""
    error = fault if isinstance(fault, BaseException) else sys.exc_info()[1] if fault is True else fault[1]  # type: ignore[index]
    if error is None:
        return {}
    stack = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)][-12:]
    site = FaultSite.of(error)
    found: EventDict = {"fault": site.kind, "place": site.place, "stack": stack}
    if (code := getattr(error, "code", None)) is not None:
        found["code"] = _code(code)
    return found


class _Unquoted(logging.Handler):
    """Says that a library had something to say, and which; not what."""

    def emit(self, record: logging.LogRecord) -> None:
        log.warning("library-message", library=record.name, code=record.levelname)


def _warned(message: object, category: type[Warning], *_: object, **__: object) -> None:
    log.debug("library-warning", code=category.__name__)


def _uncaught(kind: type[BaseException], error: BaseException | None, _trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    log.critical("uncaught", exc_info=error)
