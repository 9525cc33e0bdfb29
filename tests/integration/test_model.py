"""Any sequence of events, outcomes and removals against a model of a dozen lines."""

import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.wire import Wire

IDS = "abcdef"


@dataclass
class Model:
    """What must be there, and which sequences of the log must be gone."""

    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    seqs: dict[str, set[int]] = field(default_factory=lambda: {name: set() for name in IDS})
    erased: set[int] = field(default_factory=set)

    def forget(self, name: str) -> None:
        """Everything of one id is gone."""
        self.events.pop(name, None)
        self.outcomes.pop(name, None)
        self.erased |= self.seqs[name]
        self.seqs[name] = set()


async def one_step(dice: random.Random, wire: Wire, collection: str, model: Model) -> None:
    """Do one thing to both."""
    name = dice.choice(IDS)
    step = dice.choices(["event", "outcome", "delete", "clear"], weights=[50, 30, 10, 2])[0]
    if step == "event":
        fields = {"text": f"text {dice.randrange(4)}", "severity": dice.randint(1, 5)}
        if dice.random() < 0.5:
            fields["user"] = dice.choice(["ana", "bob"])
        seq = await wire.publish(f"security.events.v1.{collection}.test", {"id": name, **fields})
        model.events.pop(name, None)
        model.events[name] = {"user": None, **fields}
        model.seqs[name].add(seq)
    elif step == "outcome":
        model.outcomes[name] = dice.choice(["benign", "true_positive", "unknown"])
        model.seqs[name].add(await wire.outcome(collection, name, model.outcomes[name]))
    elif step == "delete":
        ids = dice.sample(IDS, dice.randint(1, 3))
        reply = await wire.of(collection, "delete", ids=ids)
        assert reply["deleted"] == [one for one in ids if one in model.events]
        for one in ids:
            model.forget(one)
    else:
        assert (await wire.of(collection, "clear", confirm=collection))["deleted"] == len(model.events)
        for one in IDS:
            model.forget(one)


@pytest.mark.parametrize("seed", range(6))
async def test_the_index_is_what_the_log_says(wire: Wire, collection: str, seed: int) -> None:
    """After any sequence of steps: the right events in the right order, their outcomes, and nothing erased too few."""
    dice = random.Random(seed)
    model = Model()
    await wire.covered(await wire.event(collection, "begins the collection", id="a"))
    await wire.of(collection, "delete", ids=["a"])
    for _ in range(60):
        await one_step(dice, wire, collection, model)
    await wire.covered((await wire.stats())["stream_seq"])
    entries = (await wire.of(collection, "list", order="oldest", limit=1000))["events"]
    assert [entry["event"]["id"] for entry in entries] == list(model.events)
    for entry in entries:
        name = entry["event"]["id"]
        assert entry["event"].items() >= model.events[name].items()
        assert (entry["outcome"] or {}).get("verdict") == model.outcomes.get(name)
        assert entry["seq"] in model.seqs[name]
    assert [seq for seq in sorted(model.erased) if await wire.stored(seq)] == []
    kept = sorted(set().union(*model.seqs.values()))
    assert [seq for seq in kept if not await wire.stored(seq)] == []
