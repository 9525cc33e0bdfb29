"""Settings: the only reader of the environment. Connection settings have the `nats` CLI's own names."""

import difflib
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from precedent_indexer.errors import SettingsWrong
from precedent_schemas.limits import MAX_COLLECTIONS
from precedent_schemas.servers import masked, parse_addresses

_PREFIX = "PRECEDENT_"
_OF_SERVICE = "_SERVICE_HOST"
_OF_EACH = ("SERVICE_", "PORT")


def _readable(path: Path | None) -> Path | None:
    if path is not None and not path.is_file():
        raise ValueError(f"no file {str(path)!r}: give the path of an existing file")
    return path


def _addresses(urls: str) -> str:
    parse_addresses(urls)
    return urls


File = Annotated[Path | None, AfterValidator(_readable)]


class Settings(BaseSettings):
    """Every setting, read once and checked at once; secrets are masked wherever they are shown."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    nats_url: Annotated[
        str,
        AfterValidator(_addresses),
        Field(
            repr=False,
            description="NATS server, or several separated by commas: nats:// or tls://; user, password or token in it "
            "are percent-decoded",
        ),
    ] = "nats://127.0.0.1:4222"
    nats_creds: Annotated[File, Field(description="Credentials file (JWT and nkey)")] = None
    nats_nkey: Annotated[File, Field(description="File with an nkey seed")] = None
    nats_user: Annotated[str | None, Field(description="User name")] = None
    nats_password: Annotated[SecretStr | None, Field(description="Password of that user")] = None
    nats_token: Annotated[SecretStr | None, Field(description="Token, in the place of user and password")] = None
    nats_ca: Annotated[File, Field(description="Certificates of the authorities that the server is verified by")] = None
    nats_cert: Annotated[File, Field(description="Certificate that the client shows to the server")] = None
    nats_key: Annotated[File, Field(description="Private key of that certificate")] = None
    nats_inbox_prefix: Annotated[str, Field(description="Prefix of reply subjects; needs the permission for it")] = (
        "_INBOX"
    )

    precedent_jetstream_domain: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9_-]+$",
            description="JetStream domain of the log; unset: that of the server that NATS_URL names",
        ),
    ] = None
    precedent_chroma_path: Annotated[
        Path,
        Field(
            description="Directory of the index (embedded Chroma); beside a Chroma server, of this replica's own notes"
        ),
    ] = Path("./data/chroma")
    precedent_chroma_url: Annotated[
        str | None,
        Field(repr=False, description="A Chroma server instead, as http(s)://host:port, shared by several replicas"),
    ] = None
    precedent_chroma_token: Annotated[
        SecretStr | None, Field(description="Bearer token for that server, or for what stands before it")
    ] = None
    precedent_lease_s: Annotated[
        float,
        Field(ge=1, le=600, description="Seconds after which another replica writes in the place of a silent one"),
    ] = 15.0
    precedent_metrics_port: Annotated[
        int, Field(ge=0, le=65535, description="Port that Prometheus scrapes; 0 is off")
    ] = 0
    precedent_metrics_host: Annotated[
        str,
        Field(description="Address of the metrics, which need no login; 0.0.0.0 is every one, as in a container"),
    ] = "127.0.0.1"
    precedent_log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Least level of log lines")
    ] = "info"
    precedent_log_format: Annotated[
        Literal["console", "json"], Field(description="Log lines for people or for programs")
    ] = "console"
    precedent_model_path: Annotated[
        Path | None, Field(description="Directory of the built model; unset: the environment's own")
    ] = None
    precedent_embed_threads: Annotated[
        int, Field(ge=0, le=256, description="Threads of the model runtime; 0: one for each core, at most four")
    ] = 0
    precedent_runtime: Annotated[
        Literal["auto", "openvino", "onnxruntime"],
        Field(description="What computes the model; auto: the fastest here"),
    ] = "auto"
    precedent_embedding_cache: Annotated[
        int, Field(ge=0, le=10_000_000, description="Texts whose vectors are kept in memory, 1.5 KB each")
    ] = 20_000
    precedent_batch_size: Annotated[
        int, Field(ge=1, le=1000, description="Most messages that are embedded and stored together")
    ] = 64
    precedent_max_collections: Annotated[
        int, Field(ge=2, le=4096, description="Collections accepted; the first event of one more is a dead letter")
    ] = MAX_COLLECTIONS
    precedent_questions_at_once: Annotated[
        int, Field(ge=1, le=1024, description="Questions that are worked on at the same time")
    ] = 8
    precedent_questions_waiting: Annotated[
        int, Field(ge=0, le=100_000, description="Questions that may wait for their turn; one more gets 429")
    ] = 256
    precedent_scrub_after: Annotated[
        int,
        Field(
            ge=0,
            description="Seconds after a deletion until the index is rebuilt, since its files still hold the text; "
            "0: never by itself",
        ),
    ] = 86_400
    precedent_start_timeout_s: Annotated[
        float, Field(gt=0, le=3600, description="Seconds to wait at start for NATS to answer")
    ] = 30.0
    precedent_log_max_bytes: Annotated[
        int | None, Field(ge=1, description="Bound of the log where `init` or `serve` creates it; unset: the server's")
    ] = None
    precedent_dead_letters_max_bytes: Annotated[
        int | None, Field(ge=1, description="Bound of the dead letters where they are created; unset: the server's")
    ] = None
    precedent_replicas: Annotated[
        int, Field(ge=1, le=5, description="Servers that keep each stream where it is created; 3 on a cluster")
    ] = 1
    precedent_health_max_lag: Annotated[
        int, Field(ge=0, description="Messages that the index may lag behind the log and still be healthy")
    ] = 1000


def load() -> Settings:
    """The settings of this process's environment.

    Raises:
        SettingsWrong: something is wrong; the message lists every problem.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        problems = [f"  {str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors()]
        raise SettingsWrong("settings are wrong:\n" + "\n".join(problems)) from error
    return settings


def switch_off_telemetry() -> None:
    """Keep ONNX Runtime from writing a device id below the home directory and from calling its maker.

    It reads the variable once, while it is loaded: its own `disable_telemetry_events` comes too late.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # noqa: TID251 -- written, for a library that reads it


def unknown_variables() -> dict[str, list[str]]:
    """Variables of this process named `PRECEDENT_...` that are no setting, each with the settings of close names."""
    known = {field.upper() for field in Settings.model_fields}
    environment = os.environ  # noqa: TID251 -- this is the settings module
    ours = {name.upper() for name in environment if name.upper().startswith(_PREFIX)} - known
    # Kubernetes gives every process the addresses of the services beside it, also of one that is named `precedent-...`.
    services = [name.removesuffix(_OF_SERVICE) for name in ours if name.endswith(_OF_SERVICE)]
    of_services = tuple(f"{one}_{tail}" for one in services for tail in _OF_EACH)
    return {name: _close(name, known) for name in sorted(ours) if not name.startswith(of_services)}


def _close(name: str, known: set[str]) -> list[str]:
    # The prefix, which all share, says nothing about how close two names are.
    tails = {one.removeprefix(_PREFIX): one for one in known if one.startswith(_PREFIX)}
    return [tails[tail] for tail in difflib.get_close_matches(name.removeprefix(_PREFIX), tails, n=3, cutoff=0.7)]


def describe(settings: Settings | None = None) -> list[dict[str, Any]]:
    """One row for each setting: `name`, `default`, `description`, and `value` where settings are given."""
    rows = []
    for field, info in Settings.model_fields.items():
        row = {"name": field.upper(), "default": _shown(field, info.default), "description": info.description or ""}
        if settings is not None:
            row["value"] = _shown(field, getattr(settings, field))
        rows.append(row)
    return rows


def without_secrets(url: str) -> str:
    """A server's address as it may be shown: user and password in it are masked."""
    return masked(url)


def _shown(field: str, value: object) -> str:
    text = "" if value is None else str(value)
    return without_secrets(text) if field.endswith("_url") else text
