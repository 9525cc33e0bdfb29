"""Every PromQL expression of the alerts and the dashboard, and what each of them takes for granted."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml
from promql_parser import AggregateExpr, BinaryExpr, Call, Expr, MatchOp, MatrixSelector, VectorSelector

OBSERVABILITY: Final = Path(__file__).resolve().parents[2] / "deploy" / "observability"
DASHBOARD: Final = OBSERVABILITY / "grafana" / "dashboards" / "precedent.json"
OF_THE_TARGET: Final = frozenset({"job", "instance"})
"""Labels that Prometheus itself puts to every series."""
_OF_A_COUNTER: Final = frozenset({"rate", "increase", "irate"})
_VARIABLES: Final = {"$__rate_interval": "5m", "$instance": ".*"}
"""What Grafana puts in before it asks."""


@dataclass(frozen=True)
class Expression:
    """One expression, and where it stands."""

    where: str
    text: str

    def __str__(self) -> str:
        return self.where

    def parsed(self) -> Expr:
        """As Prometheus reads it.

        Raises:
            ValueError: it cannot.
        """
        text = self.text
        for variable, value in _VARIABLES.items():
            text = text.replace(variable, value)
        return promql_parser.parse(text)


@dataclass(frozen=True)
class Series:
    """One series of a scrape; `type` is that of its metric."""

    name: str
    labels: dict[str, str]
    type: str


def alerts() -> list[dict[str, Any]]:
    """Every rule of alerts.yml."""
    content = yaml.safe_load((OBSERVABILITY / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in content["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Every panel of the dashboard."""
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def expressions() -> list[Expression]:
    """Of all alerts and all panels."""
    found = [Expression(rule["alert"], rule["expr"]) for rule in alerts()]
    found += [
        Expression(f"{panel['title']} {target['refId']}", target["expr"])
        for panel in panels()
        for target in panel["targets"]
    ]
    return found


def mistakes(expression: Expression, scraped: Iterable[Series]) -> list[str]:
    """What the expression names and the scrape does not have."""
    by_name: dict[str, list[Series]] = {}
    for series in scraped:
        by_name.setdefault(series.name, []).append(series)
    nodes = list(_nodes(expression.parsed()))
    selectors = [node for node in nodes if isinstance(node, VectorSelector)]
    found = [mistake for one in selectors for mistake in _of_selector(one, by_name)]
    known = OF_THE_TARGET.union(
        *(series.labels for one in selectors for series in by_name.get(str(one.name), ())),
    )
    for node in nodes:
        found += [f"no label {label!r} to group or match by" for label in _grouped_by(node) if label not in known]
        found += _of_rate(node, by_name)
    return found


def _nodes(root: Expr) -> Iterator[Expr]:
    seen: list[Expr] = []

    def note(node: Expr) -> bool:
        seen.append(node)
        return True

    promql_parser.walk(root, note)
    yield from seen


def _of_selector(selector: VectorSelector, by_name: dict[str, list[Series]]) -> Iterator[str]:
    series = by_name.get(str(selector.name))
    if series is None:
        yield f"no metric {selector.name!r}"
        return
    for matcher in selector.matchers.matchers:
        if matcher.name in OF_THE_TARGET:
            continue
        values = {one.labels.get(matcher.name) for one in series}
        wanted = matcher.value.split("|") if matcher.op in (MatchOp.Re, MatchOp.NotRe) else [matcher.value]
        for value in wanted:
            if value not in values:
                yield f"no {selector.name} with {matcher.name}={value!r}"


def _grouped_by(node: Expr) -> list[str]:
    if isinstance(node, AggregateExpr) and node.modifier is not None:
        return list(node.modifier.labels)
    if isinstance(node, BinaryExpr) and node.modifier is not None and node.modifier.matching is not None:
        return list(node.modifier.matching.labels)
    return []


def _of_rate(node: Expr, by_name: dict[str, list[Series]]) -> Iterator[str]:
    """A rate of what may fall is a number without a meaning, and Prometheus computes it without a word."""
    if not isinstance(node, Call):
        return
    for argument in node.args:
        if isinstance(argument, MatrixSelector):
            name = str(argument.vector_selector.name)
            types = {one.type for one in by_name.get(name, ())}
            if node.func.name in _OF_A_COUNTER and not types <= {"counter", "histogram"}:
                yield f"{node.func.name} of {name}, which is no counter"
