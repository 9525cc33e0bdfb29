"""The benchmark works: everything is measured and compared. What the numbers are is nobody's business here."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from harness.child_process import scrubbed_environment
from load import texts
from load.bench import PARTS
from load.parts.scale import FILTERS
from load.results import Comparison, Latency, Results
from load.sizes import QUICK

TESTS: Final = Path(__file__).parents[1]
LATENCIES: Final = {
    "ingest": ["embedder.question"],
    "latency": ["idle", "at_once", "loaded", "old.idle", "old.loaded"],
    "freshness": ["idle", "arriving"],
    "scale": [f"{size}.{key}" for size in QUICK.scale for key in FILTERS],
    "peer": ["idle", "loaded"],
    "publisher": [],
}
FIGURES: Final = {
    "ingest": ["fresh.rate", "repeats.rate", "embedder.fresh", "embedder.repeats", "old.rate", "old.loaded_rate"],
    "latency": ["loaded.rate", "k"],
    "freshness": ["found"],
    "scale": [
        f"{size}.{key}" for size in QUICK.scale for key in ("fill", "ingest", "start", "resident", "disk", "log")
    ],
    "peer": ["rate", "loaded_rate"],
    "publisher": ["default.one", "default.many", "always.one", "always.many"],
}
COMPARISONS: Final = {
    "ingest": ["fresh.of_embedder", "repeats.of_embedder", "of_old"],
    "latency": ["idle.of_old", "loaded.of_old", "loaded.of_idle"],
    "freshness": ["idle.p50"],
    "scale": [f"{key}.{percentile}" for key in FILTERS if key != "plain" for percentile in ("p50", "p99")],
    "peer": ["rate", "idle", "loaded"],
    "publisher": ["default.gain", "always.gain", "always"],
}


@pytest.mark.timeout(1_200)
def test_a_quick_run_measures_and_compares_everything(tmp_path: Path) -> None:
    """Every figure and ratio is there, finite and above nothing; no process is left."""
    output = tmp_path / "results.json"
    command = [sys.executable, "-m", "load.bench", "--quick", "--output", str(output)]
    env = scrubbed_environment({"PYTHONPATH": str(TESTS), "TMPDIR": str(tmp_path)})
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    results = Results.model_validate_json(output.read_text(encoding="utf-8"))
    assert [part.name for part in results.parts] == list(PARTS)
    for part in results.parts:
        assert part.failure is None
        figures = {figure.key: figure.value for figure in part.figures}
        expected = FIGURES[part.name] + [f"{key}.{p}" for key in LATENCIES[part.name] for p in ("p50", "p99")]
        assert set(figures) == {f"{part.name}.{key}" for key in expected}
        assert all(math.isfinite(value) and value > 0 for value in figures.values()), figures
        compared = {one.key: one.value for one in part.comparisons}
        assert set(compared) == {f"{part.name}.{key}" for key in COMPARISONS[part.name]}
        assert all(math.isfinite(value) and value > 0 for value in compared.values()), compared
        assert all(len(curve.x) == len(curve.y) > 0 for curves in part.curves.values() for curve in curves)
    assert results.runtime
    assert not list(tmp_path.glob("precedent-bench-*"))
    alive = subprocess.run(["ps", "-A", "-o", "args="], check=True, capture_output=True, text=True).stdout
    assert str(tmp_path) not in alive


def test_texts_are_drawn_deterministically_and_repeat_as_asked() -> None:
    """The same seed gives the same texts; without repeats all differ; with a fifth of them, a fifth are copies."""
    assert texts.distinct_texts(500, 1) == texts.distinct_texts(500, 1)
    assert len(set(texts.distinct_texts(5_000, 1))) == 5_000
    repeated = texts.with_repeats(5_000, 0.2, 1)
    assert (len(repeated), len(set(repeated))) == (5_000, 4_000)


def test_filters_let_pass_what_they_are_named_after() -> None:
    """Half, a hundredth and a tenth of the events, whatever their texts."""
    events = list(texts.events(texts.distinct_texts(10_000, 1), "e"))
    half, percent, tenth = (FILTERS[key][1] for key in ("half", "percent", "tenth"))
    assert half is not None
    assert percent is not None
    assert tenth is not None
    assert tenth.occurred_at is not None
    after, before = tenth.occurred_at.after, tenth.occurred_at.before
    assert after is not None
    assert before is not None
    passing_half = sum(event.source in (half.sources or ()) for event in events)
    passing_percent = sum(event.user in (percent.users or ()) for event in events)
    passing_tenth = sum(event.occurred_at is not None and after <= event.occurred_at < before for event in events)
    assert passing_half == pytest.approx(5_000, abs=5)
    assert passing_percent == 100
    assert passing_tenth == pytest.approx(1_000, abs=5)


def test_percentiles_are_answers_that_were_given() -> None:
    """p99 is the slowest of fewer than a hundred, and the second slowest of two hundred is not yet it."""
    assert Latency([0.001, 0.002, 0.003]).p99 == 3
    assert Latency([0.001, 0.002, 0.003]).p50 == 2
    assert Latency([number / 1_000 for number in range(1, 201)]).p99 == pytest.approx(198)


@pytest.mark.parametrize(
    ("value", "goal", "at_least", "met"),
    [
        (3.0, 3.0, True, True),
        (2.9, 3.0, True, False),
        (0.5, 0.5, False, True),
        (0.6, 0.5, False, False),
        (9.0, None, True, None),
    ],
)
def test_a_goal_is_met_or_not_in_its_own_direction(
    value: float, goal: float | None, at_least: bool, met: bool | None
) -> None:
    """More than `at least`, less than `at most`, nothing without a goal."""
    assert Comparison(key="a", what="b", value=value, goal=goal, at_least=at_least).met is met
