"""The files that a connection needs, looked into before the library trips over them."""

import ssl
from pathlib import Path
from typing import Final

from precedent_backend_adapter._transport import Fault, FaultKind
from precedent_backend_adapter.config import Tls

_CREDS_MARKS: Final = ("BEGIN NATS USER JWT", "BEGIN USER NKEY SEED")


def read(path: Path, what: str) -> str:
    """The text of a file.

    Raises:
        Fault: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Fault(FaultKind.MISCONFIGURED, f"cannot read the {what} {path}: {error}") from error


def checked_creds(path: Path) -> str:
    """The path of a creds file that holds what it should.

    Raises:
        Fault: it does not.
    """
    text = read(path, "creds file")
    missing = [mark for mark in _CREDS_MARKS if mark not in text]
    if missing:
        # The library would look for the mark for ever, and nothing else would run meanwhile.
        raise Fault(FaultKind.MISCONFIGURED, f"the creds file {path} has no line {missing[0]!r}: write it with nsc")
    return str(path)


def tls_context(tls: Tls) -> ssl.SSLContext:
    """What to verify the server with, and what to show it.

    Raises:
        Fault: a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except OSError as error:
        files = ", ".join(str(one) for one in (tls.ca_file, tls.cert_file, tls.key_file) if one is not None)
        raise Fault(FaultKind.MISCONFIGURED, f"cannot use the TLS files {files}: {error}") from error
    return context
