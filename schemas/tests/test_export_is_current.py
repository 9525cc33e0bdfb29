"""What is generated is committed, and `--check` tells when it is not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import export
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from precedent_schemas.limits import INT64_MAX, MAX_ID_CHARS, MAX_TEXT_CHARS


def _walk(value: Any) -> Iterator[Any]:
    yield value
    for below in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _walk(below)


def test_generated_files_are_current() -> None:
    """Every generated file is what the models say, and no schema is left over."""
    assert [str(path) for path in export.stale(export.artefacts())] == [], export.REMEDY


def test_rendering_is_stable() -> None:
    """Two renderings are the same, byte for byte: a diff shows changes of the wire and nothing else."""
    assert export.artefacts() == export.artefacts()


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of generated files that a test may spoil."""
    pyproject = (export.SCHEMAS / "pyproject.toml").read_text("utf-8")
    monkeypatch.setattr(export, "REPOSITORY", tmp_path)
    monkeypatch.setattr(export, "SCHEMAS", tmp_path / "schemas")
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "pyproject.toml").write_text(pyproject, "utf-8")
    assert export.main([]) == 0
    return tmp_path


def test_check_accepts_what_was_written(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Right after a run, `--check` finds nothing and exits 0."""
    capsys.readouterr()
    assert export.main(["--check"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "name", ["schemas/json/event.schema.json", "schemas/asyncapi.yaml", "deploy/nats/streams.json"]
)
@pytest.mark.parametrize("spoil", ["edit", "remove"])
def test_check_names_the_stale_file(elsewhere: Path, capsys: pytest.CaptureFixture[str], name: str, spoil: str) -> None:
    """`--check` exits 1 with the file's name and the remedy, and changes nothing."""
    path = elsewhere / name
    if spoil == "edit":
        path.write_text(path.read_text("utf-8") + " ", "utf-8")
    else:
        path.unlink()
    before = path.read_text("utf-8") if path.exists() else None
    capsys.readouterr()
    assert export.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert f"stale: {name}" in said
    assert "make schemas" in said
    assert said.count("stale:") == 1
    assert (path.read_text("utf-8") if path.exists() else None) == before


def test_left_over_schemas_are_found_and_removed(elsewhere: Path) -> None:
    """The schema of a message that is gone is stale, and a run removes it."""
    left = elsewhere / "schemas" / "json" / "gone.schema.json"
    left.write_text("{}", "utf-8")
    assert export.main(["--check"]) == 1
    assert export.main([]) == 0
    assert not left.exists()


@pytest.mark.parametrize("name", export.MESSAGES)
def test_schemas_are_schemas(name: str) -> None:
    """Each is a JSON Schema of draft 2020-12 with a URN of its own, and each of its references resolves."""
    schema = export.json_schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:precedent:schemas:v1:{name}"
    references = {node["$ref"] for node in _walk(schema) if isinstance(node, dict) and "$ref" in node}
    assert references <= {f"#/$defs/{definition}" for definition in schema.get("$defs", {})}


def test_every_format_is_checked(formats: FormatChecker) -> None:
    """No schema uses a format that these tests would let pass unread."""
    nodes = [node for name in export.MESSAGES for node in _walk(export.json_schema(name)) if isinstance(node, dict)]
    used = {node["format"] for node in nodes if isinstance(node.get("format"), str)}
    assert used == {"date-time", "ipv4", "ipv6"}
    assert used <= set(formats.checkers)


def test_event_schema_shows_the_limits() -> None:
    """A publisher who only reads the JSON Schema learns every limit of an event."""
    fields = export.json_schema("event")["properties"]
    rules = {name: {**field, **field.get("anyOf", [{}])[0]} for name, field in fields.items()}
    assert (rules["text"]["minLength"], rules["text"]["maxLength"]) == (1, MAX_TEXT_CHARS)
    assert f"{{1,{MAX_ID_CHARS}}}" in rules["id"]["pattern"]
    assert rules["id"]["not"] == {"pattern": "^seq-"}
    assert rules["occurred_at"]["format"] == "date-time"
    assert (rules["severity"]["minimum"], rules["severity"]["maximum"], rules["severity"]["default"]) == (1, 5, 1)
    assert (rules["source"]["minLength"], rules["source"]["maxLength"]) == (1, 256)
    assert (rules["user"]["minLength"], rules["user"]["maxLength"]) == (1, 256)
    assert rules["ip"]["anyOf"] == [{"format": "ipv4"}, {"format": "ipv6"}]
    assert rules["attributes"]["maxProperties"] == 64
    assert rules["attributes"]["propertyNames"] == {"pattern": "^[A-Za-z0-9_.-]{1,64}$"}
    assert f'"maximum": {INT64_MAX}' in json.dumps(rules["attributes"])
    assert all(field.get("description") for field in fields.values())


def test_streams_file_is_the_whole_table() -> None:
    """The file for operators holds both streams and the durable consumer on the log."""
    streams = export.streams()
    assert [stream["name"] for stream in streams["streams"]] == ["SECURITY_EVENTS", "SECURITY_DEAD_LETTERS"]
    assert [stream["max_msg_size"] for stream in streams["streams"]] == [262_144, 524_288]
    for stream in streams["streams"]:
        assert stream["storage"] == "file"
        assert stream["retention"] == "limits"
        assert stream["discard"] == "new"
        assert stream["compression"] == "s2"
        assert stream["allow_direct"] is True
        assert stream["duplicate_window"] == 600 * 10**9
    (consumer,) = streams["consumers"]
    assert consumer["stream_name"] == "SECURITY_EVENTS"
    assert consumer["config"]["durable_name"] == "indexer"
    assert consumer["config"]["ack_wait"] == 60 * 10**9
    assert consumer["config"]["max_deliver"] == -1
    assert "backoff" not in consumer["config"]
