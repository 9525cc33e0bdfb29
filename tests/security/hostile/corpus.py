"""The hostile cases: files that say what is sent and what must become of it."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

CASES: Final = Path(__file__).parent / "cases"
COLLECTION: Final = "hostile"
VERDICTS: Final = frozenset(
    {
        "indexed",
        "dead malformed",
        "dead invalid",
        "dead too_large",
        "refused by the server",
        "taken",
        "answered",
        "unheard",
        *(str(code) for code in (400, 404, 409, 413, 504)),
    }
)
"""What may become of a case.

`indexed`: it is in the index as it was sent. `dead ...`: a dead letter of that reason, with the very bytes. `refused by
the server`: it is in no stream. `taken`: the server took it, and it has no effect. `answered`, or the code of an error:
of questions. `unheard`: nothing is answered, neither there nor to where the answer was directed.
"""

_DEFAULTS: Final = {
    "event": f"security.events.v1.{COLLECTION}.test",
    "outcome": f"security.outcomes.v1.{COLLECTION}",
    "deletion": f"security.deletions.v1.{COLLECTION}",
    "search": f"security.index.v1.{COLLECTION}.search",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One message, and its verdict.

    Attributes:
        reply: where the answer is to go, instead of to who asks.
        shown: fields of the event as the index must show them.
    """

    family: str
    name: str
    subject: bytes
    headers: bytes
    payload: bytes
    reply: bytes | None
    expect: str
    shown: dict[str, Any]

    @property
    def label(self) -> str:
        """Unique and short."""
        return f"{self.family}/{self.name}"


def load() -> list[Case]:
    """Every case of every family, in the order of the files."""
    cases = [case for path in sorted(CASES.glob("*.yaml")) for case in _family(path)]
    labels = [case.label for case in cases]
    assert len(labels) == len(set(labels)), sorted({label for label in labels if labels.count(label) > 1})
    return cases


def _family(path: Path) -> list[Case]:
    table = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [_case(path.stem, table.get("to", "event"), one) for one in table["cases"]]


def _case(family: str, to: str, raw: dict[str, Any]) -> Case:
    unknown = raw.keys() - {"name", "to", "verb", "subject", "headers", "payload", "reply", "expect", "shown"}
    assert not unknown, (family, raw["name"], unknown)
    expect = str(raw["expect"])
    assert expect in VERDICTS, (family, raw["name"], expect)
    subject = raw.get("subject")
    if subject is None:
        verb = raw.get("verb")
        subject = f"security.index.v1.{COLLECTION}.{verb}" if verb else _DEFAULTS[raw.get("to", to)]
    return Case(
        family=family,
        name=str(raw["name"]),
        subject=made(subject),
        headers=_header_block(raw.get("headers")),
        payload=made(raw.get("payload", "")),
        reply=made(raw["reply"]) if "reply" in raw else None,
        expect=expect,
        shown=raw.get("shown", {}),
    )


def made(said: Any) -> bytes:
    """The bytes that an expression of the files means.

    A string is itself in UTF-8; a list is its parts, one behind the other; and a mapping one of `json` (a value),
    `hex`, `base64`, `repeat` with `times`, `gzip` (of another expression).
    """
    match said:
        case str():
            return said.encode()
        case list():
            return b"".join(map(made, said))
        case {"json": value}:
            return json.dumps(value, ensure_ascii=False).encode()
        case {"hex": digits}:
            return bytes.fromhex(digits)
        case {"base64": text}:
            return base64.b64decode(text, validate=True)
        case {"repeat": part, "times": times}:
            return made(part) * int(times)
        case {"gzip": inner}:
            return gzip.compress(made(inner), mtime=0)
    raise AssertionError(f"no expression: {said!r}")


def _header_block(said: Any) -> bytes:
    """Headers: a mapping, a list of `[name, value]` where order or repetition matters, or `raw` for the whole block."""
    if not said:
        return b""
    if isinstance(said, dict) and "raw" in said:
        return made(said["raw"])
    pairs = said.items() if isinstance(said, dict) else said
    return b"NATS/1.0\r\n" + b"".join(made(name) + b": " + made(value) + b"\r\n" for name, value in pairs) + b"\r\n"
