"""Every form of a server's URL, and what becomes of it on either side: both test themselves against this list."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Form:
    """One URL, with HOST for an address; `sent` is what CONNECT says of us, `refused` a part of the message instead."""

    url: str
    sent: dict[str, Any] | None = None
    refused: str | None = None
    tls: bool = False


def _user(user: str, password: str) -> dict[str, Any]:
    return {"user": user, "pass": password}


NOBODY: dict[str, Any] = {}
FORMS = [
    Form("nats://HOST", NOBODY),
    Form("nats://HOST/", NOBODY),
    Form(" nats://HOST ", NOBODY),
    Form("NATS://HOST", NOBODY),
    Form("HOST", NOBODY),
    Form("nats://anna:plain@HOST", _user("anna", "plain")),
    Form("anna:plain@HOST", _user("anna", "plain")),
    Form("nats://an%40na:p%40%2Fs%3As%25%2C%23%3F@HOST", _user("an@na", "p@/s:s%,#?")),
    Form("nats://anna:p%C3%A4ss%20word@HOST", _user("anna", "päss word")),
    Form("nats://anna:p@ss@HOST", _user("anna", "p@ss")),
    Form("nats://anna:a+b@HOST", _user("anna", "a+b")),
    Form("nats://anna:@HOST", _user("anna", "")),
    Form("nats://s3cr%3Dt@HOST", {"auth_token": "s3cr=t"}),
    Form("nats://HOST,nats://HOST", NOBODY),
    Form("tls://HOST", NOBODY, tls=True),
    Form("tls://anna:p%40ss@HOST", _user("anna", "p@ss"), tls=True),
    Form("ws://anna:s3cret@HOST", refused="'ws'"),
    Form("wss://anna:s3cret@HOST", refused="'wss'"),
    Form("http://anna:s3cret@HOST", refused="'http'"),
    Form("nats+tls://anna:s3cret@HOST", refused=r"'nats\+tls'"),
    Form("natss://anna:s3cret@HOST", refused="'natss'"),
    Form("nats://HOST,wss://anna:s3cret@HOST", refused="'wss'"),
    Form("nats://anna:s3cret%@HOST", refused="percent-decoded"),
    Form("nats://anna:s3cret%FF@HOST", refused="UTF-8"),
    Form("nats://anna:s3/cret@HOST", refused="%2F"),
    Form("nats://anna:s3#cret@HOST", refused="%23"),
    Form("nats://anna:s3,cret@HOST", refused="%2C"),
    Form("nats://HOST/path", refused="scheme, host and port"),
    Form("nats://HOST?tls=true", refused="scheme, host and port"),
    Form("nats://127.0.0.1:0", refused="scheme, host and port"),
    Form("nats://127.0.0.1:99999", refused="no address"),
    Form("nats://", refused="scheme, host and port"),
    Form("", refused="scheme, host and port"),
]
SECRETS = ("s3cret", "s3", "cret@", "anna")
"""What no message may show of the refused ones."""
