"""Acknowledgements of a publish: only the stream that is meant, in its own JetStream domain, says that it is stored.

Where leaf nodes are connected, streams of several servers may take the same message, and each of them answers. The
first answer is not the last word.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

SECOND_ANSWER_S: Final = 0.25
"""Seconds that a refusal waits for an acknowledgement: a refusal does not say which domain it comes from."""


@dataclass(frozen=True, slots=True)
class StreamAck:
    """One answer to a publish.

    Attributes:
        stream: who answers; empty where it does not say so.
        domain: its JetStream domain, empty for none; a refusal never says so.
        seq: where it is stored; 0 of a refusal.
        duplicate: the stream had a message with this message id already.
        error: of a refusal, as JetStream words it: `code`, `err_code`, `description`.
    """

    stream: str
    domain: str
    seq: int
    duplicate: bool
    error: dict[str, Any] | None

    @classmethod
    def parse(cls, data: bytes) -> "StreamAck":
        """Read an answer.

        Raises:
            ValueError: it is neither an acknowledgement nor a refusal.
        """
        body = json.loads(data)
        if not isinstance(body, dict):
            raise ValueError("the answer to a publish is no JSON object")
        error = body.get("error")
        return cls(
            stream=str(body.get("stream", "")),
            domain=str(body.get("domain", "")),
            seq=int(body.get("seq", 0)),
            duplicate=bool(body.get("duplicate", False)),
            error=error if isinstance(error, dict) else None,
        )

    def is_of(self, stream: str, domain: str | None) -> bool:
        """Whether it can come from `stream` of `domain`; None for a domain that is not known."""
        here = domain is None or self.error is not None or self.domain == domain
        return here and self.stream in ("", stream)

    def __str__(self) -> str:
        """Who answered what, for messages."""
        domain = f" of JetStream domain {self.domain}" if self.domain else ""
        what = f"refused it ({self.error.get('description', '')})" if self.error else f"stored it as {self.seq}"
        return f"stream {self.stream or '?'}{domain} {what}"
