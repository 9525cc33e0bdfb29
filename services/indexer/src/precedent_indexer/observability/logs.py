"""Structured log lines on standard error, for people or for programs; set up once, by the command line."""

import logging
import sys
from typing import Any

import structlog

_MAX_VALUE_CHARS = 500


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
