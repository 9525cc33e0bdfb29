"""Every wrong argument is `Refused`, and every wrong setting `Misconfigured`: no other exception leaves the package."""

import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import precedent_schemas as wire
from precedent_backend_adapter import (
    Backoff,
    Config,
    Credentials,
    Filter,
    Misconfigured,
    OutboxConfig,
    Outcome,
    Precedent,
    PrecedentClient,
    PrecedentError,
    Refused,
    SecurityEvent,
    SeverityRange,
    Timeouts,
    TimeRange,
    Tls,
)
from precedent_backend_adapter.testing import InMemoryPrecedent

EVENT = SecurityEvent(kind="auth", text="failed login", id="e-1")
WRONG: list[Any] = [0, -1, 1.5, float("nan"), True, "", "\x00*", b"x", [], [None], {}, {1: 2}, object(), EVENT, print]
RIGHT: dict[str, Any] = {
    "event": EVENT,
    "events": [EVENT],
    "outcome": Outcome(event_id="e-1", verdict="benign"),
    "ids": ["e-1"],
    "seqs": [1],
    "collection": "incidents",
    "confirm": "incidents",
    "text": "failed login",
}
METHODS = [
    name
    for name, _ in inspect.getmembers(PrecedentClient, inspect.isfunction)
    if not name.startswith("_") and name not in ("outbox_status", "flush")
]
CASES = [
    (name, parameter)
    for name in METHODS
    for parameter in list(inspect.signature(getattr(PrecedentClient, name)).parameters)[1:]
]


@pytest.mark.parametrize(("method", "parameter"), CASES)
async def test_no_other_exception_leaves_a_method(method: str, parameter: str) -> None:
    """Whatever is given for any parameter of any method, the call succeeds or raises a PrecedentError."""
    client = InMemoryPrecedent()
    given = {
        name: RIGHT[name]
        for name, one in inspect.signature(getattr(client, method)).parameters.items()
        if one.default is inspect.Parameter.empty and name in RIGHT
    }
    if method in ("search", "recurrence") and parameter != "id":
        given["text"] = RIGHT["text"]
    refused = 0
    for wrong in WRONG:
        try:
            result = getattr(client, method)(**{**given, parameter: wrong})
            if isinstance(result, AsyncIterator):
                [_ async for _ in result]
            else:
                await result
        except PrecedentError:
            refused += 1
    assert refused >= len(WRONG) // 2


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: SecurityEvent(kind="Auth", text="x"), "kind"),
        (lambda: SecurityEvent(kind="auth", text="x", severity=9), "severity"),
        (lambda: SecurityEvent(kind="auth"), "text"),  # type: ignore[call-arg] # the point
        (lambda: SecurityEvent(kind="auth", text="x", sevrity=3), "sevrity"),  # type: ignore[call-arg] # the point
        (lambda: SecurityEvent.model_validate({"kind": "auth"}), "text"),
        (lambda: SecurityEvent.model_validate_json('{"kind": "auth"}'), "text"),
        (lambda: Outcome(event_id="e-1", verdict="guilty"), "verdict"),  # type: ignore[arg-type] # the point
        (lambda: Filter(severity=SeverityRange(min=3), kinds=[]), "kinds"),
        (lambda: Filter(severity={"min": 9}), "severity.min"),  # type: ignore[arg-type] # the point
        (lambda: SeverityRange(max=0), "max"),
        (lambda: TimeRange(after="yesterday"), "after"),  # type: ignore[arg-type] # the point
    ],
)
def test_a_wrong_field_is_refused_where_the_object_is_built(build: Any, field: str) -> None:
    """The error is the adapter's, names the field, and has pydantic's as its cause."""
    with pytest.raises(Refused) as caught:
        build()
    assert [one.field for one in caught.value.problems] == [field]
    assert isinstance(caught.value.__cause__, ValidationError)


def test_a_model_of_the_callers_own_keeps_pydantics_errors() -> None:
    """A web framework that validates a request with an event in it still gets a ValidationError of its own model."""

    class Body(BaseModel):
        event: SecurityEvent

    with pytest.raises(ValidationError, match="kind"):
        Body.model_validate({"event": {"text": "x"}})
    assert Body.model_validate({"event": {"kind": "x", "text": "x"}}).event.kind == "x"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Outcome(event_id="e", verdict="benign"), wire.Outcome(event_id="e", verdict="benign")),  # type: ignore[arg-type] # as callers write it
        (Filter(kinds=["auth"]), wire.Filter(kinds=["auth"])),
    ],
)
def test_what_replies_hold_is_the_same_to_callers(ours: BaseModel, theirs: BaseModel) -> None:
    """An object of the wire and one that the caller built are equal, and both are instances of the public class."""
    assert ours == theirs
    assert theirs == ours
    assert hash(ours) == hash(theirs) if isinstance(ours, Outcome) else True
    assert isinstance(theirs, type(ours))
    assert not isinstance(EVENT, type(ours))


@pytest.mark.parametrize("cls", [Config, Credentials, Tls, Timeouts, Backoff, OutboxConfig])
def test_a_wrong_setting_is_misconfigured(cls: type) -> None:
    """Whatever is given for any field of any setting, only Misconfigured is raised, and by the time of `Config`."""
    part = {Credentials: "credentials", Tls: "tls", Timeouts: "timeouts", Backoff: "backoff", OutboxConfig: "outbox"}
    refused = 0
    for name in inspect.signature(cls).parameters:
        for wrong in WRONG:
            given = {"path": "outbox"} if cls is OutboxConfig else {}
            try:
                made = cls(**{**given, name: wrong})
                if cls in part:
                    Config(**{part[cls]: made})
            except Misconfigured:
                refused += 1
    assert refused >= len(WRONG) // 2


@pytest.mark.parametrize("url", [*WRONG, None, [5], "http://x", "nats://"])
async def test_a_wrong_url_is_misconfigured(url: Any) -> None:
    """Nothing is tried with it."""
    with pytest.raises(Misconfigured):
        async with Precedent.connect(url):
            pass


async def test_a_wrong_configuration_is_misconfigured() -> None:
    """An object of another class is no configuration."""
    with pytest.raises(Misconfigured, match="Config"):
        async with Precedent.connect("nats://127.0.0.1:1", config="config"):  # type: ignore[arg-type] # the point
            pass
