"""Bytes to models and back: the one place where JSON of the bus is read and written.

JSON is read more strictly than Python's default: UTF-8 only, no duplicate keys, no NaN and no infinity
however written (`1e999` too), no lone surrogates, and no deeper than 32 levels.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final, TypeVar, cast, get_args

from pydantic import BaseModel, ValidationError

from precedent_schemas.events import EventBody, SecurityEvent
from precedent_schemas.failures import DeadReason, FieldProblem
from precedent_schemas.limits import MAX_JSON_DEPTH, MAX_LOG_MESSAGE_BYTES

Model = TypeVar("Model", bound=BaseModel)

_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_COMPRESSED: Final = "send the JSON itself, not compressed"
_UTF16: Final = "not UTF-8: it seems to be UTF-16; send UTF-8"
_OTHER_FORMS: Final = {
    b"\x1f\x8b": f"not JSON: compressed with gzip; {_COMPRESSED}",
    b"\x28\xb5\x2f\xfd": f"not JSON: compressed with zstd; {_COMPRESSED}",
    b"\xef\xbb\xbf": "not JSON: begins with a byte order mark (BOM); send UTF-8 without one",
    b"\xff\xfe": _UTF16,
    b"\xfe\xff": _UTF16,
}
"""How other forms begin, and what is said of each."""
_SHOWN_CHARS: Final = 40
_MAX_PROBLEMS: Final = 20


class DecodeError(ValueError):
    """Bytes from the bus that are not what they should be.

    Attributes:
        reason: `malformed` (not JSON as this codec reads it), `invalid` (a rule of a field broken) or
            `too_large` (the text, or the whole message, beyond its limit).
        problems: one entry for each thing found wrong; never a whole payload.
    """

    def __init__(self, reason: DeadReason, problems: list[FieldProblem]) -> None:
        self.reason = reason
        self.problems = problems
        super().__init__("; ".join(f"{p.field}: {p.message}" if p.field else p.message for p in problems))


def decode(model: type[Model], data: bytes) -> Model:
    """`data` as a `model`; no bytes at all mean `{}`.

    Raises:
        DecodeError: see there.
    """
    return validate(model, decode_object(data) if data else {})


def decode_event(data: bytes) -> EventBody:
    """The payload of an event.

    Raises:
        DecodeError: also `too_large`, where the message is beyond the limit of the log.
    """
    if len(data) > MAX_LOG_MESSAGE_BYTES:
        problem = f"message has {len(data)} bytes, at most {MAX_LOG_MESSAGE_BYTES} are indexed"
        raise DecodeError(DeadReason.TOO_LARGE, [FieldProblem(field="", message=problem)])
    return validate(EventBody, decode_object(data))


def validate(model: type[Model], value: dict[str, Any]) -> Model:
    """A decoded object as a `model`.

    Raises:
        DecodeError: `invalid`, or `too_large` where the only thing wrong is a text beyond its limit.
    """
    try:
        # Not the model's own method, which a subclass may make raise something else.
        return cast("Model", model.__pydantic_validator__.validate_python(value))
    except ValidationError as error:
        found = error.errors(include_url=False)
        too_long = all(one["type"] == "string_too_long" and one["loc"] == ("text",) for one in found)
        reason = DeadReason.TOO_LARGE if too_long else DeadReason.INVALID
        raise DecodeError(reason, field_problems(model, error)) from error


def field_problems(model: type[BaseModel], error: ValidationError) -> list[FieldProblem]:
    """What is wrong with a value that is no `model`: the first problems, each with its field."""
    return [_problem(model, one) for one in error.errors(include_url=False)[:_MAX_PROBLEMS]]


def decode_object(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`.

    Raises:
        DecodeError: `malformed`, with what was found.
    """
    other = _other_form(data)
    if other is not None:
        raise _malformed(other)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(f"not UTF-8: byte {error.start} is 0x{data[error.start]:02x}") from error
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_refuse_constant)
    except DecodeError:
        raise
    except json.JSONDecodeError as error:
        raise _malformed(f"not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise _malformed(f"nested deeper than {MAX_JSON_DEPTH} levels") from error
    except ValueError as error:
        # Python refuses to read an integer of more than a few thousand digits.
        raise _malformed("not JSON that can be read: a number has too many digits") from error
    if not isinstance(value, dict):
        raise _malformed("not a JSON object: expected {...}")
    _check_depth(value)
    if _SURROGATE_ESCAPE.search(text):
        _check_surrogates(value)
    return value


def encode(message: BaseModel) -> bytes:
    """A reply or a request as JSON."""
    return dump(message.model_dump(mode="json"))


def encode_log_message(message: BaseModel) -> bytes:
    """An event, outcome or deletion as JSON: what is absent is left out, and what the subject says too."""
    exclude = {"kind", "collection"} if isinstance(message, SecurityEvent) else None
    return dump(message.model_dump(mode="json", exclude=exclude, exclude_none=True, exclude_defaults=True))


def dump(value: object) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _other_form(data: bytes) -> str | None:
    """What the bytes are where their beginning tells, and what to send instead; None where it tells nothing."""
    for begin, problem in _OTHER_FORMS.items():
        if data.startswith(begin):
            return problem
    # JSON begins with a character of ASCII, which is one zero byte and one other in UTF-16.
    return _UTF16 if data[:1] == b"\0" or data[1:2] == b"\0" else None


def _malformed(message: str) -> DecodeError:
    return DecodeError(DeadReason.MALFORMED, [FieldProblem(field="", message=message)])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _malformed(f"key {_shown(twice)} stands twice in one object")
    return found


def _finite(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise _malformed(f"number {_shown(literal)} is beyond the largest finite one")
    return number


def _refuse_constant(literal: str) -> float:
    raise _malformed(f"{literal} is not JSON")


def _below(value: Any) -> Iterator[Any]:  # noqa: ANN401 -- any JSON value
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _check_depth(value: dict[str, Any]) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [one for parent in level for one in _below(parent) if isinstance(one, dict | list)]
        if not level:
            return
    raise _malformed(f"nested deeper than {MAX_JSON_DEPTH} levels")


def _check_surrogates(value: dict[str, Any]) -> None:
    level: list[Any] = [value]
    while level:
        for one in level:
            if isinstance(one, str) and any("\ud800" <= char <= "\udfff" for char in one):
                raise _malformed("a string holds a lone surrogate")
        level = [below for parent in level for below in _below(parent)]


def _problem(model: type[BaseModel], error: Any) -> FieldProblem:  # noqa: ANN401 -- pydantic's ErrorDetails is private
    path = ".".join(_shown_part(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = ", ".join(_fields_beside(model, error["loc"])) or "none"
        return FieldProblem(field=path, message=f"no such field; there are: {known}")
    message = error["msg"].removeprefix("Value error, ")
    given = error.get("input")
    if error["type"] != "missing" and isinstance(given, str | int | float):
        message = f"{message} (got {_shown(given)})"
    return FieldProblem(field=path, message=message)


def _fields_beside(model: type[BaseModel], path: tuple[str | int, ...]) -> Iterator[str]:
    """Names of the fields that could stand where the last part of `path` does."""
    for part in path[:-1]:
        annotation = model.model_fields[str(part)].annotation
        [model] = (one for one in get_args(annotation) if isinstance(one, type) and issubclass(one, BaseModel))
    return iter(model.model_fields)


def _shown_part(part: str | int) -> str:
    # The name of an unknown field is the sender's: it may be as long as the message, and hold anything.
    name = ascii(str(part)[: _SHOWN_CHARS + 1])[1:-1]
    return name if len(name) <= _SHOWN_CHARS else f"{name[:_SHOWN_CHARS]}..."


def _shown(value: object) -> str:
    shown = ascii(value)
    return shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}..."
