"""All commands together, and what their exit codes mean."""

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

_HELP = """Publish security events, and ask what is known of events like them.

Connects as the NATS_* variables say (NATS_URL, NATS_CREDS, NATS_NKEY, NATS_USER, NATS_PASSWORD, NATS_CA,
NATS_CERT, NATS_KEY, NATS_INBOX_PREFIX), and for what they leave open as the nats command's current context does.

Exit codes: 0 done; 1 it failed, and may succeed later; 2 an argument or a setting is wrong; 3 something is not
there or was refused (an event, a key, a certificate, an operation): trying again does not help; 130 interrupted.
"""

app = typer.Typer(
    help=_HELP,
    no_args_is_help=True,
    # Plain help and plain errors: a box around an argument would be markup made of what somebody typed.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for _part in (publishing, similar, questions, tail, dead_letters, import_events, outbox):
    app.add_typer(_part.commands)
