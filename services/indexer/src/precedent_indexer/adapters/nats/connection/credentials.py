"""Credentials and TLS files: read again at each connect, since they are renewed, and checked for their expiry."""

import base64
import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from precedent_indexer.errors import SettingsWrong
from precedent_indexer.settings import Settings

_CREDS_MARKS: Final = ("BEGIN NATS USER JWT", "BEGIN USER NKEY SEED")
_JWT_PARTS: Final = 3
WARN_BEFORE: Final = timedelta(days=7)
"""Time before the expiry of a file at which warnings begin; for short-lived files, the last tenth of their life."""


def checked_creds(path: Path) -> str:
    """The path of a credentials file, checked for its parts.

    Raises:
        SettingsWrong: it cannot be read, or a part is missing, for example while the file is being written.
    """
    text = _read(path)
    missing = [mark for mark in _CREDS_MARKS if mark not in text]
    if missing:
        # The library would search for the mark in an endless loop, and block the process.
        raise SettingsWrong(f"NATS_CREDS={path} has no line {missing[0]!r}: write the file with nsc")
    return str(path)


def tls_context(chosen: Settings) -> ssl.SSLContext:
    """A TLS context from the current files: authorities for the server, and our certificate.

    Raises:
        SettingsWrong: a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=chosen.nats_ca)
        if chosen.nats_cert:
            context.load_cert_chain(chosen.nats_cert, chosen.nats_key)
    except OSError as error:
        files = f"NATS_CA={chosen.nats_ca or ''}, NATS_CERT={chosen.nats_cert or ''}, NATS_KEY={chosen.nats_key or ''}"
        raise SettingsWrong(f"the TLS files cannot be used ({files}): {error}") from error
    return context


def expiring(chosen: Settings, now: datetime | None = None) -> list[str]:
    """One line for each file that expires soon, or has expired."""
    now = now or datetime.now(UTC)
    lines = []
    for name, path, ends in (
        ("NATS_CREDS", chosen.nats_creds, _end_of_creds),
        ("NATS_CERT", chosen.nats_cert, _end_of_certificate),
    ):
        try:
            begin, end = ends(path) if path else (None, None)
        except (SettingsWrong, ValueError, KeyError, OSError):
            # The next connect reports what is wrong with the file.
            continue
        if end is not None and end - now < min(WARN_BEFORE, (end - (begin or now - 10 * WARN_BEFORE)) / 10):
            verb = "ends" if end > now else "ended"
            lines.append(
                f"{name}={path} {verb} at {end:%Y-%m-%dT%H:%M:%SZ}: renew the file; it is read at each connect"
            )
    return lines


def _end_of_creds(path: Path) -> tuple[datetime | None, datetime | None]:
    _, _, rest = _read(path).partition(_CREDS_MARKS[0])
    parts = "".join(rest.splitlines()[1:2]).strip().split(".")
    if len(parts) != _JWT_PARTS:
        raise ValueError("no JWT")
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    return _moment(claims.get("iat")), _moment(claims.get("exp"))


def _end_of_certificate(path: Path) -> tuple[datetime | None, datetime | None]:
    # The standard library has no public function to decode a certificate file.
    found = ssl._ssl._test_decode_cert(str(path))  # type: ignore[attr-defined] # noqa: SLF001
    begin, end = (ssl.cert_time_to_seconds(found[name]) for name in ("notBefore", "notAfter"))
    return _moment(begin), _moment(end)


def _moment(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsWrong(f"NATS_CREDS={path} cannot be read: {error}") from error
