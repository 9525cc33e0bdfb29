"""The AsyncAPI 3.0 document, from the catalogue, the subjects and the limits.

It is written from the indexer's side: what the indexer receives, a backend sends.
"""

from typing import Any, Final

from precedent_schemas.catalogue import ENDPOINTS, Endpoint
from precedent_schemas.failures import ERROR_CODES, DeadReason
from precedent_schemas.limits import MAX_DETAIL_CHARS, MAX_KIND_TOKENS
from precedent_schemas.subjects import (
    CONSUMER,
    DEAD_LETTERS_STREAM,
    DELIVERIES_HEADER,
    DETAIL_HEADER,
    EVENTS_STREAM,
    INCIDENTS,
    MSG_ID_HEADER,
    NO_COLLECTION,
    ORIGINAL_HEADERS_HEADER,
    QUEUE_GROUP,
    REASON_HEADER,
    RULES,
    SERVICE,
    SERVICE_ERROR_CODE_HEADER,
    SERVICE_ERROR_HEADER,
    STANDING_COLLECTIONS,
    STREAM_SEQ_HEADER,
    SUBJECT_HEADER,
    TRACE_HEADERS,
    dead_letter_subject,
    deletion_subject,
    event_subject,
    outcome_subject,
)

SCHEMA_FOLDER: Final = "json"
SCHEMA_FORMAT: Final = "application/schema+json;version=draft-2020-12"
_JSON: Final = "application/json"
_REPLIES: Final = "replies"
_ERROR: Final = "error"

_COLLECTION: Final = "{collection}"
_PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "collection": {
        "description": (
            f"One token: 3 to 63 of [a-z0-9_-], beginning and ending with a letter or digit. {INCIDENTS} (what"
            f" happened) and {RULES} (what people decided should happen) exist from the start."
        ),
        "examples": list(STANDING_COLLECTIONS),
    },
    "kind": {
        "description": f"One to {MAX_KIND_TOKENS} tokens of [a-z0-9_-], general to particular.",
        "examples": ["auth", "auth.brute_force"],
    },
    "reason": {
        "description": "Why the message cannot be indexed.",
        "enum": [str(reason) for reason in DeadReason],
    },
}


def request_name(endpoint: Endpoint) -> str:
    """Name of the request's schema, message and example."""
    return f"{endpoint.name}-request"


def reply_name(endpoint: Endpoint) -> str:
    """Name of the reply's schema, message and example."""
    return f"{endpoint.name}-reply"


def schema_path(name: str) -> str:
    """File of a message's schema, beside the document."""
    return f"{SCHEMA_FOLDER}/{name}.schema.json"


def document(version: str) -> dict[str, Any]:
    """The whole document, in the order in which it should be read."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Precedent",
            "version": version,
            "description": (
                "The memory of a security backend: services publish security events, outcomes and rules to a NATS"
                f" JetStream log (stream {EVENTS_STREAM}), and ask over the same bus whether something like this was"
                f" seen before (NATS service {SERVICE}). An empty request body means {{}}."
            ),
        },
        "defaultContentType": _JSON,
        "channels": _channels(),
        "operations": _operations(),
        "components": {"parameters": _PARAMETERS, "messages": _messages()},
    }


def _channel(address: str, message: str, description: str) -> dict[str, Any]:
    names = [name for name in _PARAMETERS if f"{{{name}}}" in address]
    parameters = {"parameters": {name: {"$ref": f"#/components/parameters/{name}"} for name in names}} if names else {}
    return {
        "address": address,
        "description": description,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        **parameters,
    }


def _channels() -> dict[str, Any]:
    found = {
        "events": _channel(
            event_subject(_COLLECTION, "{kind}"), "event", f"Events of the log, stream {EVENTS_STREAM}."
        ),
        "outcomes": _channel(
            outcome_subject(_COLLECTION), "outcome", f"Decisions about events, stream {EVENTS_STREAM}."
        ),
        "deletions": _channel(
            deletion_subject(_COLLECTION), "deletion", f"Written by the indexer alone, stream {EVENTS_STREAM}."
        ),
        "dead-letters": _channel(
            dead_letter_subject(_COLLECTION, "{reason}"),
            "dead-letter",
            f"What was refused, stream {DEAD_LETTERS_STREAM}; {NO_COLLECTION} is the collection where the original"
            " subject has no legal one.",
        ),
    }
    for endpoint in ENDPOINTS:
        address = endpoint.subject.replace("*", _COLLECTION)
        found[endpoint.name] = _channel(address, request_name(endpoint), endpoint.description)
    answers = [_ERROR, *map(reply_name, ENDPOINTS)]
    found[_REPLIES] = {
        "address": None,
        "description": "The inbox that the request names as its reply subject.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in answers},
    }
    return found


def _operation(action: str, channel: str, message: str, summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }


def _operations() -> dict[str, Any]:
    found = {
        "index-event": _operation("receive", "events", "event", f"Index an event; durable consumer {CONSUMER}."),
        "index-outcome": _operation("receive", "outcomes", "outcome", "Keep what was decided about an event."),
        "publish-deletion": _operation("send", "deletions", "deletion", "Put a deletion into the log."),
        "apply-deletion": _operation("receive", "deletions", "deletion", "Apply a deletion in the log's order."),
        "publish-dead-letter": _operation("send", "dead-letters", "dead-letter", "Set aside what cannot be indexed."),
    }
    for endpoint in ENDPOINTS:
        answers = (reply_name(endpoint), _ERROR)
        found[endpoint.name] = {
            **_operation("receive", endpoint.name, request_name(endpoint), endpoint.description),
            "bindings": {"nats": {"queue": QUEUE_GROUP, "bindingVersion": "0.1.0"}},
            "reply": {
                "channel": {"$ref": f"#/channels/{_REPLIES}"},
                "messages": [{"$ref": f"#/channels/{_REPLIES}/messages/{name}"} for name in answers],
            },
        }
    return found


def _message(name: str, summary: str, headers: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "summary": summary,
        "contentType": _JSON,
        **({"headers": headers} if headers else {}),
        "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": {"$ref": f"./{schema_path(name)}"}},
    }


def _messages() -> dict[str, Any]:
    found = {
        "event": _message("event", "Something that happened, or a rule; only the text must be there.", _log_headers()),
        "outcome": _message("outcome", "What was decided about an event.", _log_headers()),
        "deletion": _message("deletion", "Removes every earlier revision and outcome of events.", _log_headers()),
        "dead-letter": {
            "name": "dead-letter",
            "summary": "The payload of the original, byte for byte: it may be anything.",
            "contentType": "application/octet-stream",
            "headers": _dead_letter_headers(),
        },
        _ERROR: _message(_ERROR, "Reply of a question that failed.", _error_headers()),
    }
    for endpoint in ENDPOINTS:
        for name, part in ((request_name(endpoint), "Request"), (reply_name(endpoint), "Reply")):
            found[name] = _message(name, f"{part} of {endpoint.name}: {endpoint.description}")
    return found


def _header(description: str, **rules: object) -> dict[str, Any]:
    return {"type": "string", "description": description, **rules}


def _headers(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    rule = {"required": required} if required else {}
    return {"type": "object", "properties": properties, **rule}


def _log_headers() -> dict[str, Any]:
    msg_id = _header(
        "<collection>:<id>:<128 random bits, hex>: drawn once for a publish call and kept through its retries, so that"
        " the log drops a repeated delivery and never a deliberate second publication."
    )
    trace = {
        name: _header("W3C trace context; the trace of what is published goes on in the indexer.")
        for name in TRACE_HEADERS
    }
    return _headers([], {MSG_ID_HEADER: msg_id, **trace})


def _dead_letter_headers() -> dict[str, Any]:
    number = {"pattern": "^[0-9]+$"}
    properties = {
        MSG_ID_HEADER: _header("dead:<sequence of the original>."),
        REASON_HEADER: _header("Why it cannot be indexed.", enum=[str(reason) for reason in DeadReason]),
        DETAIL_HEADER: _header("What is wrong with it; printable ASCII.", maxLength=MAX_DETAIL_CHARS),
        STREAM_SEQ_HEADER: _header(f"Sequence of the original in {EVENTS_STREAM}.", **number),
        SUBJECT_HEADER: _header("Subject of the original."),
        DELIVERIES_HEADER: _header("How often the original was given to the indexer.", **number),
        ORIGINAL_HEADERS_HEADER: _header(
            "Headers of the original without those that begin with Nats-: base64 of a JSON object of lists of strings."
        ),
    }
    return _headers(list(properties), properties)


def _error_headers() -> dict[str, Any]:
    properties = {
        SERVICE_ERROR_CODE_HEADER: _header("As `error.code`.", enum=[str(code) for code in ERROR_CODES.values()]),
        SERVICE_ERROR_HEADER: _header("What went wrong, in short."),
    }
    return _headers(list(properties), properties)
