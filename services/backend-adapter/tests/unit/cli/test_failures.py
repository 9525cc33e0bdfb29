"""When it does not work: one line that says what, an exit code that says of which kind."""

import subprocess
import sys
from typing import NoReturn

import pytest
from running_cli import run

from precedent_backend_adapter import (
    Conflict,
    DeliveryUnknown,
    IndexerFailed,
    Misconfigured,
    NotDelivered,
    NotDeliveredReason,
    NotDeliveredYet,
    NotFound,
    NotIndexedYet,
    NotPermitted,
    NotTrusted,
    OutboxUnavailable,
    Overloaded,
    PrecedentError,
    ProtocolError,
    Publication,
    Refused,
    TooLarge,
    Unavailable,
)
from precedent_backend_adapter.testing import InMemoryPrecedent

PENDING = Publication("security.events.v1.incidents.x", b"{}", {}, "incidents", "a")
CODES = [
    (Misconfigured(["a file is missing"]), 2),
    (NotTrusted(["another authority"]), 3),
    (NotDelivered("the log is full", NotDeliveredReason.LOG_FULL, PENDING), 1),
    (NotDelivered("no connection", NotDeliveredReason.UNREACHABLE, PENDING), 1),
    (NotDelivered("may not publish there", NotDeliveredReason.NOT_PERMITTED, PENDING), 3),
    (NotDelivered("another stream", NotDeliveredReason.REJECTED, PENDING), 3),
    (DeliveryUnknown("no acknowledgement", PENDING), 1),
    (Refused("an argument is wrong"), 2),
    (NotPermitted("not allowed"), 3),
    (NotFound("no such event", reason="not_found", code=404), 3),
    (Conflict("became a dead letter", reason="refused", code=409), 3),
    (TooLarge("too much; ask for 3", reason="too_large", code=413), 3),
    (Overloaded("later"), 1),
    (IndexerFailed("a fault"), 1),
    (Unavailable("nobody answers"), 1),
    (NotIndexedYet("not yet"), 1),
    (NotDeliveredYet("in the outbox"), 1),
    (OutboxUnavailable("in use"), 1),
    (ProtocolError("no answer"), 1),
]


@pytest.mark.parametrize(("error", "code"), CODES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    "command",
    [
        ("publish", "x", "text"),
        ("outcome", "a", "benign", "--force"),
        ("search", "x"),
        ("recurrence", "x"),
        ("get", "a"),
        ("list",),
        ("tail",),
        ("stats",),
        ("delete", "a", "--yes"),
        ("dead-letters", "list"),
        ("dead-letters", "replay", "1"),
    ],
    ids=" ".join,
)
def test_every_failure_is_one_line_and_a_code(error: PrecedentError, code: int, command: tuple[str, ...]) -> None:
    """Nothing on stdout, one line on stderr with the message, and the code that the help documents."""
    client = InMemoryPrecedent()
    client.fail_next(error)
    done = run(client, *command)
    assert done.code == code
    assert done.out == ""
    assert done.err == f"precedent: {error}\n"


def test_every_exception_has_a_code() -> None:
    """A new exception of the client is a decision about its exit code."""
    leaves = set()
    waiting: list[type[PrecedentError]] = [PrecedentError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind is not PrecedentError and kind.__module__ == "precedent_backend_adapter.errors":
            leaves.add(kind)
    assert {type(error) for error, _ in CODES} == leaves


def test_a_message_with_line_breaks_stays_one_line() -> None:
    """Whatever a message quotes, it cannot write lines or control characters of its own."""
    client = InMemoryPrecedent()
    client.fail_next(Unavailable("first\nprecedent: all is well\x1b[2J"))
    assert run(client, "stats").err == "precedent: first\\nprecedent: all is well\\x1b[2J\n"


@pytest.mark.parametrize(
    ("error", "code"), [(NotPermitted("may not search"), 3), (Unavailable("nobody answers"), 1)], ids=str
)
@pytest.mark.parametrize("command", [("publish", "x", "text"), ("outcome", "a", "benign", "--force")], ids=" ".join)
def test_what_is_stored_is_told_although_the_wait_fails(
    error: PrecedentError, code: int, command: tuple[str, ...]
) -> None:
    """The receipt is on stdout, as it is without --wait; the message says that it is stored, and then what failed."""
    told = run(InMemoryPrecedent(), *command, "--id" if command[0] == "publish" else "--by", "x", "--json")
    client = Unasked(error)
    done = run(client, *command, "--id" if command[0] == "publish" else "--by", "x", "--json", "--wait")
    assert (done.code, done.json()["seq"]) == (code, told.json()["seq"])
    assert done.err == f"precedent: it is stored, at 1, but --wait failed: {error}\n"


class Unasked(InMemoryPrecedent):
    """A client that may publish and gets no answer."""

    def __init__(self, error: PrecedentError) -> None:
        super().__init__()
        self._error = error

    async def search(self, *_: object, **__: object) -> NoReturn:
        """Fails."""
        raise self._error


@pytest.mark.parametrize(
    "command",
    [
        ("publish", "Not A Kind", "text"),
        ("publish", "x", " "),
        ("publish", "x", "text", "--severity", "9"),
        ("publish", "x", "text", "--at", "soon"),
        ("publish", "x", "text", "-a", "novalue"),
        ("publish", "x", "text", "-c", "a.>"),
        ("outcome", "a b", "benign"),
        ("outcome", "a", "maybe"),
        ("search",),
        ("search", "x", "--id", "a"),
        ("search", "x", "-k", "0"),
        ("search", "x", "--network", "nowhere"),
        ("list", "--after", "later"),
        ("list", "--limit", "-1"),
        ("get",),
        ("get", "a b"),
        ("tail", "--every", "0"),
        ("dead-letters", "show", "x"),
        ("no-such-command",),
        ("search", "x", "--no-such-option"),
    ],
    ids=" ".join,
)
def test_a_wrong_argument_is_a_usage_error(command: tuple[str, ...]) -> None:
    """Exit code 2, a message on stderr, nothing on stdout and nothing published."""
    client = InMemoryPrecedent()
    done = run(client, *command)
    assert (done.code, done.out) == (2, "")
    assert done.err
    assert "Traceback" not in done.err
    assert run(client, "stats", "--json").json()["stream"]["last_seq"] == 0


def test_ctrl_c_ends_quietly() -> None:
    """Interrupted is 130 and no message."""

    class Interrupted(InMemoryPrecedent):
        def _fail(self) -> None:
            raise KeyboardInterrupt

    done = run(Interrupted(), "stats")
    assert (done.code, done.out, done.err) == (130, "", "")


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_it_says_which_one(missing: str) -> None:
    """A backend without the command's libraries is told in one line what to install."""
    code = f"import sys; sys.modules[{missing!r}] = None; from precedent_backend_adapter.cli import main; main()"
    done = subprocess.run([sys.executable, "-I", "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"precedent: {missing} is not installed: python -m pip install 'precedent-backend-adapter[cli]'\n"
    )
