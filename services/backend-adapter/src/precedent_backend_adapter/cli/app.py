"""All commands together, and what their exit codes mean."""

from typing import Annotated

import typer

from precedent_backend_adapter.cli.commands import (
    dead_letters,
    import_events,
    outbox,
    publishing,
    questions,
    similar,
    tail,
)
from precedent_schemas.version import VERSION

_HELP = """Publish security events, and ask what is known of events like them.

Connects as the NATS_* variables say (NATS_URL, NATS_CREDS, NATS_NKEY, NATS_USER, NATS_PASSWORD, NATS_CA,
NATS_CERT, NATS_KEY, NATS_INBOX_PREFIX), and for what they leave open as the nats command's current context does.

Exit codes: 0 done; 1 it failed, and may succeed later; 2 an argument or a setting is wrong; 3 something is not
there or was refused (an event, a key, a certificate, an operation): trying again does not help; 130 interrupted.
"""

app = typer.Typer(
    help=_HELP,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    # Plain help and plain errors: a box around an argument would be markup made of what somebody typed.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 -- typer calls it so
    if wanted:
        typer.echo(VERSION)
        raise typer.Exit


@app.callback()
def _common(
    *,
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


for _part in (publishing, similar, questions, tail, dead_letters, import_events, outbox):
    app.add_typer(_part.commands)
