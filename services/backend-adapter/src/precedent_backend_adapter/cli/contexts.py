"""The contexts of the `nats` command: named files that say how to reach a server."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from precedent_backend_adapter.errors import Misconfigured

_VARIABLES: Final = {
    "url": "NATS_URL",
    "creds": "NATS_CREDS",
    "nkey": "NATS_NKEY",
    "user": "NATS_USER",
    "password": "NATS_PASSWORD",
    "cert": "NATS_CERT",
    "key": "NATS_KEY",
    "ca": "NATS_CA",
    "inbox_prefix": "NATS_INBOX_PREFIX",
    "jetstream_domain": "PRECEDENT_JETSTREAM_DOMAIN",
}
"""Fields of a context, and the variable that says the same."""
_FILES: Final = ("creds", "nkey", "cert", "key", "ca")
_UNKNOWN_WAYS: Final = ("token", "nsc", "user_jwt", "user_seed", "socks_proxy", "tls_first", "windows_cert_store")
"""Fields without which the connection that the context means would be another one."""


def selected(environ: Mapping[str, str]) -> str | None:
    """Name of the context that `NATS_CONTEXT` or `nats context select` chose, if any."""
    if environ.get("NATS_CONTEXT"):
        return environ["NATS_CONTEXT"]
    try:
        return (_folder(environ) / "context.txt").read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def variables(environ: Mapping[str, str], name: str) -> dict[str, str]:
    """What a context says, as the `NATS_*` variables that say the same.

    Raises:
        Misconfigured: there is none of that name, it cannot be read, or it needs a way to connect that is unknown here.
    """
    path = _folder(environ) / "context" / f"{name}.json"
    if Path(name).name != name:
        raise Misconfigured([f"context {name!r} is no name: `nats context ls` lists them"])
    fields = _read(path, name)
    unknown = [field for field in _UNKNOWN_WAYS if fields.get(field)]
    if unknown:
        problem = f"context {name!r} sets {', '.join(unknown)}, which this command cannot use"
        raise Misconfigured([f"{problem}: choose another one with --context, or none with --context ''"])
    return {
        variable: str(Path(value).expanduser()) if field in _FILES else value
        for field, variable in _VARIABLES.items()
        if isinstance(value := fields.get(field), str) and value
    }


def _folder(environ: Mapping[str, str]) -> Path:
    home = environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "nats"


def _read(path: Path, name: str) -> dict[str, Any]:
    remedy = "create it with `nats context add`, choose another one with --context, or none with --context ''"
    try:
        fields = json.loads(path.read_bytes())
    except OSError as error:
        raise Misconfigured([f"context {name!r} cannot be read from {path}: {error.strerror}; {remedy}"]) from error
    except ValueError as error:
        raise Misconfigured([f"context {name!r} in {path} is no JSON: {error}; {remedy}"]) from error
    if not isinstance(fields, dict):
        raise Misconfigured([f"context {name!r} in {path} is no JSON object; {remedy}"])
    return fields
