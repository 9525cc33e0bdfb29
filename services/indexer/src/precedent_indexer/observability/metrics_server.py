"""The page that Prometheus scrapes, served from a thread of its own."""

from collections.abc import Callable

import prometheus_client

from precedent_indexer.errors import StartRefused
from precedent_indexer.observability.metrics import Metrics


def serve(metrics: Metrics, host: str, port: int) -> Callable[[], None]:
    """Serve `metrics` on `host` and `port`; the result ends it.

    Raises:
        StartRefused: nothing can listen there.
    """
    # Half as many series; when a counter began says nothing that its value does not.
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call] # untyped in the library
    try:
        server, thread = prometheus_client.start_http_server(port, host, metrics.registry)
    except OSError as error:
        raise StartRefused(
            f"metrics cannot be served on PRECEDENT_METRICS_HOST={host}, PRECEDENT_METRICS_PORT={port}: "
            f"{error.strerror}; choose another, or 0 for none"
        ) from error

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end
