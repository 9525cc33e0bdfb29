"""The sizes of docs/scale.md follow from the figures of a run, by arithmetic that can be followed."""

from pathlib import Path

import pytest

from load.results import Machine, PartResult, Results
from load.sizing import DOCUMENT, PART, Costs, main, sizing

MACHINE = Machine(
    cpu="a processor",
    cores=4,
    flags=["amx_bf16"],
    memory_gib=8,
    kernel="a kernel",
    python="3.11",
    load_before=0,
    versions={},
)


def results() -> Results:
    """A run with round figures."""
    ingest, scale = PartResult(name="ingest"), PartResult(name="scale")
    ingest.figure("fresh.rate", "", 100, "events/s")
    ingest.figure("embedder.fresh", "", 200, "texts/s")
    for size, resident, disk, log, start in ((1000, 500, 90_000, 600, 5.0), (11_000, 520, 8_000, 200, 5.1)):
        for key, value in (("resident", resident), ("disk", disk), ("log", log), ("start", start), ("fill", 500)):
            scale.figure(f"{size}.{key}", "", value, "")
    return Results(measured_at="2026-01-02T03:04:05", sizes="full", machine=MACHINE, parts=[ingest, scale])


def test_costs_follow_from_the_figures() -> None:
    """Cores by rates, slopes between the two largest sizes, and the largest size for what is fixed in small ones."""
    costs = Costs.of(results())
    assert (costs.event, costs.text, costs.written_per_s) == (0.04, 0.02, 500)
    assert (costs.stored, costs.index_bytes, costs.log_bytes) == (11_000, 8_000, 600)
    assert costs.memory_bytes == pytest.approx(20 * 2**20 / 10_000)
    assert costs.start == pytest.approx(0.1 / 10_000)


def test_the_tables_are_the_costs_times_the_numbers() -> None:
    """A hundred million a day: 1,157 a second, 0.04 s of a core each; three indexes of 500 a second; three replicas."""
    rows = sizing(results()).splitlines()
    assert "| 100,000,000 | 1,157 | 46.30 | 23.15 | 3 | 180.00 | 800.00 | 209.72 |" in rows
    assert "| 10,000,000 | 80.00 | 21.50 | 100.00 | 5.56 | 27.78 |" in rows


def test_only_the_generated_part_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prose around it stays; the committed document has the part, filled."""
    given, document = tmp_path / "results.json", tmp_path / "scale.md"
    given.write_text(results().model_dump_json(), encoding="utf-8")
    document.write_text("before\n<!-- generated: sizing -->\nold\n<!-- end -->\nafter\n", encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["sizing", str(given), "--document", str(document)])
    assert main() == 0
    text = document.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("<!-- end -->\nafter\n")
    assert sizing(results()) in text
    assert "old" not in text
    committed = PART.search(DOCUMENT.read_text(encoding="utf-8"))
    assert committed
    assert "| 1,000,000,000 |" in committed[0]


def test_results_that_lack_a_figure_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is guessed: the figure is named, and how to get it."""
    incomplete = results()
    incomplete.parts[0].figures.pop()
    given = tmp_path / "results.json"
    given.write_text(incomplete.model_dump_json(), encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["sizing", str(given)])
    with pytest.raises(SystemExit):
        main()
    assert "ingest.embedder.fresh" in capsys.readouterr().err
