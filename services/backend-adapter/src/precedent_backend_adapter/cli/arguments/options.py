"""The options that many commands share, and a filter made of those that filter."""

from typing import Annotated, Any, Final

import typer

from precedent_backend_adapter.cli.arguments import values
from precedent_backend_adapter.errors import invalid
from precedent_schemas import INCIDENTS, DecodeError, Filter, Verdict
from precedent_schemas.codec import validate

_FILTER: Final = "Filter: every part that is given must hold; of one that is given several times, one value"
_CONNECTION: Final = "Connection"

Collection = Annotated[str, typer.Option("--collection", "-c", help="Collection of the event.", metavar="NAME")]
Csv = Annotated[bool, typer.Option("--csv", help="CSV in the place of text for people.")]
Fields = Annotated[
    str | None,
    typer.Option(
        "--fields",
        metavar="NAME,NAME",
        help="These fields alone, as a table, or with --csv or --json: id, text, attributes.NAME, ...",
    ),
]
DEFAULT_COLLECTION: Final = INCIDENTS

CONNECTION: Final[dict[str, tuple[Any, Any]]] = {
    "server": (
        Annotated[
            str | None,
            typer.Option(
                "--server",
                "-s",
                metavar="URL",
                help="NATS server; wins over everything else.",
                rich_help_panel=_CONNECTION,
            ),
        ],
        None,
    ),
    "context": (
        Annotated[
            str | None,
            typer.Option(
                "--context",
                metavar="NAME",
                help="Context of the nats command, in the place of all NATS_* variables; '' uses none.",
                rich_help_panel=_CONNECTION,
            ),
        ],
        None,
    ),
    "json": (Annotated[bool, typer.Option("--json", help="JSON in the place of text for people.")], False),
}
"""Name, annotation and default of what every command takes."""


def _filter(annotation: Any, *names: str, default: Any = None, **about: Any) -> tuple[Any, Any]:  # noqa: ANN401
    return Annotated[annotation, typer.Option(*names, rich_help_panel=_FILTER, **about)], default


FILTER: Final[dict[str, tuple[Any, Any]]] = {
    "kinds": _filter(list[str] | None, "--kind", metavar="KIND", help="This kind and all below it."),
    "min_severity": _filter(int | None, "--min-severity", metavar="1..5", help="At least so severe."),
    "max_severity": _filter(int | None, "--max-severity", metavar="1..5", help="At most so severe."),
    "sources": _filter(list[str] | None, "--source", metavar="NAME", help="Said by this service."),
    "users": _filter(list[str] | None, "--user", metavar="NAME", help="About this user."),
    "ips": _filter(list[str] | None, "--ip", metavar="ADDRESS", help="About this address."),
    "networks": _filter(list[str] | None, "--network", metavar="CIDR", help="About an address in this network."),
    "after": _filter(
        str | None, "--after", metavar="WHEN", help="From then on: 2026-01-31T12:00:00Z, 2026-01-31, 24h."
    ),
    "before": _filter(str | None, "--before", metavar="WHEN", help="Before then."),
    "attributes": _filter(
        list[str] | None,
        "--attribute",
        "-a",
        metavar="KEY=VALUE",
        help='With this attribute: port=22 matches 22 and "22", port:=22 the number alone (:= takes JSON).',
    ),
    "contains": _filter(str | None, "--contains", metavar="TEXT", help="With this in the text; case matters."),
    "verdicts": _filter(list[Verdict] | None, "--verdict", help="With this as the latest outcome."),
    "exclude_ids": _filter(list[str] | None, "--exclude", metavar="ID", help="Not this event."),
}
"""Name, annotation and default of what a filter is made of."""


def filter_of(given: dict[str, Any]) -> Filter | None:
    """The filter that the options in `given` make, which it takes out of there; None without any.

    Raises:
        Refused: naming the options that are wrong.
    """
    parts: dict[str, Any] = {name: value for name in FILTER if (value := given.pop(name)) not in (None, [])}
    severity = {end: parts.pop(f"{end}_severity") for end in ("min", "max") if f"{end}_severity" in parts}
    occurred = {end: values.moment(end, parts.pop(end)) for end in ("after", "before") if end in parts}
    if severity:
        parts["severity"] = severity
    if occurred:
        parts["occurred_at"] = occurred
    if "attributes" in parts:
        parts["attributes"] = values.attribute_filter(parts["attributes"])
    if not parts:
        return None
    try:
        return validate(Filter, parts)
    except DecodeError as error:
        raise invalid(error.problems) from error
