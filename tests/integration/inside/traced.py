"""The indexer as somebody runs it who wants its traces: with a provider, whose spans go to the file TRACES_FILE.

`python traced.py serve`. Nothing is exported before the end: what is in the file was flushed by the indexer itself.
"""

import os
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from precedent_indexer.__main__ import main

if __name__ == "__main__":
    with Path(os.environ["TRACES_FILE"]).open("a", encoding="utf-8") as file:
        exporter = ConsoleSpanExporter(out=file, formatter=lambda span: f"{span.to_json(indent=None)}\n")
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=3_600_000))
        trace.set_tracer_provider(provider)
        main()
