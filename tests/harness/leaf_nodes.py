"""A hub with the log and a leaf node below it, each with JetStream in a domain of its own."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.nats_server import NatsServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HUB_DOMAIN = "hub"
LEAF_DOMAIN = "leaf"
_LISTENING = re.compile(r"Listening for leafnode connections on 127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class Topology:
    """Both, running and connected."""

    hub: NatsServer
    leaf: NatsServer


@contextlib.contextmanager
def hub_and_leaf(folder: Path) -> Iterator[Topology]:
    """Start both in `folder`, and end them; the leaf connects by itself, within a moment."""
    config = f"server_name: hub\njetstream {{ domain: {HUB_DOMAIN} }}\nleafnodes {{ listen: 127.0.0.1:-1 }}"
    with NatsServer(folder / "hub", config=config) as hub:
        listening = _LISTENING.search(hub.log_tail(100))
        assert listening is not None, hub.log_tail()
        config = (
            f"server_name: leaf\njetstream {{ domain: {LEAF_DOMAIN} }}\n"
            f'leafnodes {{ remotes [ {{ url: "nats://127.0.0.1:{listening[1]}" }} ] }}'
        )
        with NatsServer(folder / "leaf", config=config) as leaf:
            yield Topology(hub, leaf)
