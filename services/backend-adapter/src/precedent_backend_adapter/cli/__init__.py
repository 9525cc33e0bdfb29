"""The command `precedent`, for people; it needs the extra `cli`, which brings typer and rich."""

import logging
import sys
from typing import Final

_EXTRA: Final = ("typer", "rich")


def main() -> None:
    """Run the command; the exit code is described in its help."""
    try:
        from precedent_backend_adapter.cli.app import app  # noqa: PLC0415 -- the libraries may not be there
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        message = f"precedent: {missing} is not installed: python -m pip install 'precedent-backend-adapter[cli]'\n"
        sys.stderr.write(message)
        raise SystemExit(1) from error
    # What goes wrong the command says itself, in one line.
    logging.getLogger("precedent_backend_adapter").addHandler(logging.NullHandler())
    app(prog_name="precedent")
