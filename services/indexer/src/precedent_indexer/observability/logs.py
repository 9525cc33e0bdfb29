"""Structured log lines on standard error, for people or for programs; set up once, by the command line."""

import logging
import sys
import time
from collections import OrderedDict
from typing import Any, Final

import structlog

_MAX_VALUE_CHARS = 500


_REPEAT_EVERY_S: Final = 60.0
"""Seconds between two lines about a fault that stays the same."""
_MOST_FAULTS: Final = 256
"""Faults that are told apart at the same time; the one seen longest ago is forgotten."""
_CHANGES: Final = frozenset({"retry_in_s", "timestamp"})
"""Values of a line that may differ although the fault is the same."""


class RepeatedFaults:
    """Says a fault that stays the same once, and then once a minute with the number of `times` that it came.

    A fault is a line of level warning or error that names an `error` or the next attempt (`retry_in_s`). The same fault
    has the same event and the same values, but for the time of the next attempt.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[object, ...], tuple[float, int]] = OrderedDict()

    def __call__(self, _logger: object, method: str, event: Any) -> Any:  # noqa: ANN401 -- structlog's own types
        """The line, with `times` where it stands for several; raises DropEvent where it is one of those."""
        if method not in {"warning", "error"} or not event.keys() & {"error", "retry_in_s"}:
            return event
        fault = (method, *sorted((key, str(value)) for key, value in event.items() if key not in _CHANGES))
        now = time.monotonic()
        said_at, untold = self._seen.pop(fault, (None, 0))
        if said_at is not None and now - said_at < _REPEAT_EVERY_S:
            self._seen[fault] = (said_at, untold + 1)
            raise structlog.DropEvent
        self._seen[fault] = (now, 0)
        if len(self._seen) > _MOST_FAULTS:
            self._seen.popitem(last=False)
        if untold:
            event["times"] = untold + 1
        return event


def _harmless(_logger: object, _method: str, event: Any) -> Any:  # noqa: ANN401 -- structlog's own types
    # What comes off the bus may hold control characters that spoof a line or a terminal.
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = "".join(char if char.isprintable() else "?" for char in value[:_MAX_VALUE_CHARS])
    return event


class _Libraries(logging.Handler):
    """What the libraries find wrong, by name and kind: their messages and tracebacks may hold what callers sent."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line of our log for one line of a library."""
        kind = record.exc_info[0] if record.exc_info else None
        structlog.get_logger().error("library_failed", library=record.name, error=kind.__name__ if kind else None)


def configure(level: str, form: str) -> None:
    """Send log lines of at least `level` to standard error, as `console` or `json`."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            RepeatedFaults(),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _harmless,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.ERROR, handlers=[_Libraries()])
