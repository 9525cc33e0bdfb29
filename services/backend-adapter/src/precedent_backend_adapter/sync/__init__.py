"""The client without `await`: the methods of `PrecedentClient`, for threads, WSGI servers and scripts.

    from precedent_backend_adapter.sync import Precedent

    with Precedent.connect("nats://127.0.0.1:4222") as precedent:
        receipt = precedent.publish(event)

One client serves any number of threads. It can be made before a process forks: each process that calls it opens a
connection of its own.
"""

from precedent_backend_adapter.sync.client import Precedent

__all__ = ["Precedent"]
