"""What somebody wants to deploy: a TOML file that names accounts, users, their roles and limits."""

import tomllib
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from closed_nats.roles import LIMITED, NARROWED_BY_COLLECTION, NARROWED_BY_KIND, PUBLISH_EVERY_KIND, Role, Scope
from precedent_schemas.limits import MAX_LOG_MESSAGE_BYTES
from precedent_schemas.subjects import COLLECTION_PATTERN, is_kind

HEADER_ROOM: Final = 64 * 1024
"""Bytes of headers that the server takes with a message at most."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
"""Of an account or a user: it becomes a file name and a token of a subject."""
Collection = Annotated[str, StringConstraints(pattern=COLLECTION_PATTERN)]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Roles = Annotated[tuple[Role, ...], BeforeValidator(_listed), Field(min_length=1)]
"""One role, or a list of several."""


class PlanError(Exception):
    """The plan cannot be carried out; the message lists every problem."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Part):
    """What all connections of an account may use together."""

    max_connections: Annotated[int, Field(ge=1)]
    max_subscriptions: Annotated[int, Field(ge=1)]


class OwnLimits(Limits):
    """What one user may use; `max_payload` is of each message, and takes the largest event unless it is set."""

    max_payload: Annotated[ByteSize, Field(ge=1)] = ByteSize(MAX_LOG_MESSAGE_BYTES + HEADER_ROOM)


class User(_Part):
    """One key.

    Attributes:
        role: what it is there for: one role, or a list; with several it may do what any of them may.
        collections: only these; empty means all.
        kinds: a publisher's or tool's events only of these kinds and those below; empty means all.
        payloads: a viewer may read single messages.
        limits: its own, if it only publishes, asks or records outcomes. The server counts by account, so it gets an
            account for itself.
    """

    role: Roles
    collections: tuple[Collection, ...] = ()
    kinds: tuple[str, ...] = ()
    payloads: bool = False
    limits: OwnLimits | None = None

    @model_validator(mode="after")
    def _fits_the_role(self) -> Self:
        wrong = [f"kind {kind!r} is none: one to four lower-case tokens" for kind in self.kinds if not is_kind(kind)]
        if self.collections:
            beyond = [role for role in self.role if role not in NARROWED_BY_COLLECTION]
            wrong += [f"collections: role {role} cannot be narrowed to them" for role in beyond]
        if self.kinds:
            narrowed = NARROWED_BY_KIND.intersection(self.role)
            beyond = [role for role in self.role if role in PUBLISH_EVERY_KIND or not narrowed]
            wrong += [f"kinds: role {role} cannot be narrowed to them" for role in beyond]
        if self.payloads and Role.VIEWER not in self.role:
            wrong.append("payloads: only role viewer may be granted them")
        if self.limits:
            inside = [role for role in self.role if role not in LIMITED]
            wrong += [f"limits: role {role} works inside the account of the log; limit the account" for role in inside]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @property
    def scope(self) -> Scope:
        """How far it reaches."""
        return Scope(self.collections, self.kinds, self.payloads)


class Account(_Part):
    """One tenant: a log, an index, and whoever works with them.

    Attributes:
        log_bytes: most bytes of the log; a full one refuses publishers.
        dead_letters_bytes: most bytes of the dead letters.
        limits: of all its users together, but for those with limits of their own.
        users: by name.
    """

    log_bytes: ByteSize
    dead_letters_bytes: ByteSize
    limits: Limits
    users: dict[Name, User]


class Plan(_Part):
    """A deployment.

    Attributes:
        hosts: names and addresses by which clients reach the server; in its certificate, the first in NATS_URL.
        port: where it listens.
        mutual_tls: clients must show a certificate of the same authority.
        accounts: by name.
    """

    hosts: Annotated[tuple[str, ...], Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] = 4222
    mutual_tls: bool = False
    accounts: dict[Name, Account]


def read_plan(path: Path) -> Plan:
    """The plan in a file.

    Raises:
        PlanError: it cannot be read, or says what cannot be.
    """
    try:
        return Plan.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PlanError(f"plan {path} cannot be read: {error}") from error
    except ValidationError as error:
        problems = [f"  {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise PlanError(f"plan {path} is wrong:\n" + "\n".join(problems)) from error
