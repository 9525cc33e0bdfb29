"""The configuration of nats-server, as text, for a plan and the public keys of its users."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from closed_nats.plan import Account, Limits, Plan, User
from closed_nats.roles import Permissions, combined
from precedent_schemas.limits import LEASES_BYTES

Block = Mapping[str, object]
"""What stands in braces: values, lists, and further blocks, by name."""

_MOST_PAYLOAD: Final = 1024 * 1024
"""Answers with many events need more than the 256 KiB of one; the server's own default."""
_RESPONSES: Final = 256
"""To one reply subject: a caller may use the same for all that it asks, and the indexer keeps so many waiting."""
_RESPONSE_EXPIRES: Final = "5m"
"""Deleting a thousand events behind a backlog is the longest answer there is."""
_HEAD: Final = """\
# Written by `make keys`: change the plan and make it again.
# It can be given to a running server: `nats-server --signal reload=PID_FILE`.

"""


@dataclass(frozen=True, slots=True)
class Files:
    """Where the server finds its files.

    Attributes:
        ca: certificate of the authority, for clients' certificates.
        cert: certificate of the server.
        key: its private key.
        store: directory of the log.
        pid: where it writes the number of its process.
    """

    ca: Path
    cert: Path
    key: Path
    store: Path
    pid: Path


def own_account(account: str, user: str) -> str:
    """Name of the account that a user with limits of its own gets."""
    return f"{account}.{user}"


def render(plan: Plan, public_keys: Mapping[tuple[str, str], str], files: Files) -> str:
    """The whole file.

    Args:
        plan: what to deploy.
        public_keys: of each user, by account and name.
        files: where the server finds its own.
    """
    accounts: dict[str, Block] = {}
    for name, account in plan.accounts.items():
        own = {user: one for user, one in account.users.items() if one.limits is not None}
        together = {user: one for user, one in account.users.items() if one.limits is None}
        accounts[name] = {
            "jetstream": {
                "max_file": _disk(account),
                "max_mem": 0,
                # A stream without a bound of its own would be refused only when the disk is full.
                "max_bytes_required": True,
            },
            "limits": _limits(account.limits),
            "users": [_user(user, one, public_keys[name, user]) for user, one in together.items()],
            "exports": [
                {"service": subject, "accounts": [own_account(name, user) for user in users]}
                for subject, users in _shared(own).items()
            ],
        }
        for user, one in own.items():
            accounts[own_account(name, user)] = _apart(name, user, one, public_keys[name, user])
    whole = {
        "listen": f"0.0.0.0:{plan.port}",
        "pid_file": str(files.pid),
        "max_payload": _MOST_PAYLOAD,
        "max_control_line": 4096,
        "tls": _tls(plan, files),
        "jetstream": {
            "store_dir": str(files.store),
            "max_file": sum(map(_disk, plan.accounts.values())),
            "max_mem": 0,
            # Requests with a field that JetStream does not know are refused instead of half understood.
            "strict": True,
        },
        "accounts": accounts,
    }
    return _HEAD + "\n".join(_lines(whole)) + "\n"


def _disk(account: Account) -> int:
    return int(account.log_bytes + account.dead_letters_bytes) + LEASES_BYTES


def _tls(plan: Plan, files: Files) -> Block:
    block: dict[str, object] = {"cert_file": str(files.cert), "key_file": str(files.key), "min_version": "1.2"}
    if plan.mutual_tls:
        block |= {"ca_file": str(files.ca), "verify": True}
    return block


def _limits(limits: Limits) -> Block:
    return {name: int(value) for name, value in limits.model_dump().items()}


def _granted(user: str, one: User) -> Permissions:
    return combined(one.role, user, one.scope)


def _user(user: str, one: User, public_key: str) -> Block:
    granted = _granted(user, one)
    block: dict[str, object] = {
        "publish": {"allow": list(granted.publish)},
        "subscribe": {"allow": list(granted.subscribe)},
    }
    if granted.responses:
        block["allow_responses"] = {"max": _RESPONSES, "expires": _RESPONSE_EXPIRES}
    return {"nkey": public_key, "permissions": block}


def _shared(own: Mapping[str, User]) -> Mapping[str, list[str]]:
    """Each subject that users in accounts of their own publish on, and who they are."""
    shared: dict[str, list[str]] = {}
    for user, one in own.items():
        for subject in _granted(user, one).publish:
            shared.setdefault(subject, []).append(user)
    return shared


def _apart(account: str, user: str, one: User, public_key: str) -> Block:
    assert one.limits is not None  # noqa: S101 -- by who calls
    return {
        "limits": _limits(one.limits),
        "users": [_user(user, one, public_key)],
        "imports": [{"service": {"account": account, "subject": each}} for each in _granted(user, one).publish],
    }


def _lines(block: Block, indent: str = "") -> Iterator[str]:
    for name, value in block.items():
        # Names with a dot are quoted, others are what people write by hand.
        shown = name if name.replace("_", "").isalnum() else json.dumps(name)
        if isinstance(value, Mapping):
            yield f"{indent}{shown} {{"
            yield from _lines(value, indent + "  ")
            yield f"{indent}}}"
        elif isinstance(value, list):
            yield f"{indent}{shown}: ["
            for item in value:
                if isinstance(item, Mapping):
                    yield f"{indent}  {{"
                    yield from _lines(item, indent + "    ")
                    yield f"{indent}  }}"
                else:
                    yield f"{indent}  {json.dumps(item)}"
            yield f"{indent}]"
        else:
            yield f"{indent}{shown}: {json.dumps(value)}"
