"""One trace across processes: from a backend's own span over the bus to what the indexer did, and back."""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.child_process import scrubbed_environment
from harness.indexer_process import INDEXER, IndexerProcess
from harness.nats_server import NatsServer
from harness.wire import Wire

LAUNCHER = Path(__file__).with_name("inside") / "traced.py"
TEXT = "5000 failed logins for the secret user"

# A backend that traces, as a program of its own: OpenTelemetry's one provider is for a whole process.
BACKEND = """
import asyncio, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from precedent_backend_adapter import NotFound, Precedent, SecurityEvent

async def main(url, text):
    async with Precedent.connect(url) as precedent:
        with trace.get_tracer("backend").start_as_current_span("handle a login"):
            receipt = await precedent.publish(SecurityEvent(kind="auth", text=text, id="a"))
            found = await precedent.search(text, after=receipt, wait=30, timeout=60)
            assert [hit.event.id for hit in found.hits] == ["a"]
            assert (await precedent.delete(["a"], timeout=60)).deleted == ["a"]
            try:
                await precedent.get(["a"], collection="no-such-collection")
            except NotFound:
                pass

exporter = ConsoleSpanExporter(formatter=lambda span: span.to_json(indent=None) + "\\n")
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
asyncio.run(main(*sys.argv[1:]))
"""


@dataclass(frozen=True, slots=True)
class Span:
    """One span as it was exported."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str | None
    kind: str
    attributes: dict[str, Any]


def read(exported: str) -> list[Span]:
    """The spans of one process, in the order in which they ended."""
    found = []
    for line in exported.splitlines():
        one = json.loads(line)
        context = one["context"]
        found.append(
            Span(one["name"], context["trace_id"], context["span_id"], one["parent_id"], one["kind"], one["attributes"])
        )
    return found


def only(spans: list[Span], name: str) -> Span:
    """The one with this name."""
    [found] = [one for one in spans if one.name == name]
    return found


def traced_indexer(url: str, folder: Path) -> tuple[IndexerProcess, Path]:
    """An indexer that is not started yet, and the file that its spans are in when it has ended."""
    program, traces = folder / "traced-indexer", folder / "traces"
    program.write_text(f'#!/bin/sh\nexec "{INDEXER.with_name("python")}" "{LAUNCHER}" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    env = {"TRACES_FILE": str(traces)}
    indexer = IndexerProcess(url, folder / "chroma", env=env, log_path=folder / "indexer.log", executable=program)
    return indexer, traces


async def backend(url: str) -> str:
    """Run the backend to its end; what it exported."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", BACKEND, url, TEXT),
        env=scrubbed_environment({}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 90)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.timeout(240)
async def test_a_trace_goes_from_the_publisher_to_the_index_and_from_the_question_to_its_answer(
    server: NatsServer, tmp_path: Path
) -> None:
    """Publishing, indexing, asking, answering, deleting and what the deletion does are spans of the backend's trace."""
    indexer, traces = traced_indexer(server.url, tmp_path)
    async with indexer:
        said = await backend(server.url)
    ours, theirs = read(said), read(traces.read_text(encoding="utf-8"))

    root = only(ours, "handle a login")
    publish = only(ours, "publish security.events.v1.{collection}.{kind}")
    indexed = only(theirs, "process security.events.v1.{collection}.{kind}")
    search = only(ours, "request security.index.v1.{collection}.search")
    searched = only(theirs, "process security.index.v1.{collection}.search")
    delete = only(ours, "request security.index.v1.{collection}.delete")
    deleting = only(theirs, "process security.index.v1.{collection}.delete")
    deleted = only(theirs, "process security.deletions.v1.{collection}")
    get = only(ours, "request security.index.v1.{collection}.get")
    missed = only(theirs, "process security.index.v1.{collection}.get")

    chain = {
        publish.span_id: root,
        indexed.span_id: publish,
        search.span_id: root,
        searched.span_id: search,
        delete.span_id: root,
        deleting.span_id: delete,
        deleted.span_id: deleting,
        missed.span_id: get,
    }
    spans = {one.span_id: one for one in (*ours, *theirs)}
    for span_id, origin in chain.items():
        assert spans[span_id].parent_id == origin.span_id, (spans[span_id], origin)
        assert spans[span_id].trace_id == root.trace_id

    assert (publish.kind, indexed.kind, search.kind, searched.kind) == (
        "SpanKind.PRODUCER",
        "SpanKind.CONSUMER",
        "SpanKind.CLIENT",
        "SpanKind.SERVER",
    )
    assert indexed.attributes["messaging.message.id"] == publish.attributes["messaging.message.id"]
    assert (indexed.attributes["precedent.seq"], indexed.attributes["precedent.result"]) == (1, "applied")
    assert (get.attributes["error.type"], missed.attributes["error.type"]) == ("NotFound", "not_found")
    assert {"prepare", "commit"} <= {one.name for one in theirs}
    assert "secret" not in said + traces.read_text(encoding="utf-8")


async def test_a_context_that_is_none_costs_nobody_anything(wire: Wire, collection: str) -> None:
    """Whatever stands in the headers of a trace, messages are indexed and questions are answered."""
    hostile = {"traceparent": "z" * 50_000, "Traceparent": "00-", "tracestate": "=,=," * 1000}
    subject = f"security.events.v1.{collection}.auth"
    seq = await wire.publish(subject, {"text": "x", "id": "a"}, hostile)
    await wire.covered(seq)
    reply = await wire.client.request(
        f"security.index.v1.{collection}.get", b'{"ids": ["a"]}', timeout=20, headers=dict(hostile)
    )
    assert [one["event"]["id"] for one in json.loads(reply.data)["events"]] == ["a"]
