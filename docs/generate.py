"""Writes the generated parts of the documents; with --check, fails where one is stale.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

import argparse
import ast
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import reference_tables

ROOT: Final = Path(__file__).parent.parent
DOCUMENTS: Final = (
    ROOT / "services" / "indexer" / "README.md",
    ROOT / "README.md",
    ROOT / "docs" / "observing.md",
    ROOT / "docs" / "operating.md",
    ROOT / "docs" / "reference.md",
    ROOT / "docs" / "security.md",
)
PART: Final = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _settings() -> str:
    command = [str(ROOT / "services/indexer/.venv/bin/precedent-indexer"), "settings", "--format", "markdown"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 -- our own command


def _metrics() -> str:
    program = "import json; from precedent_indexer.observability.metrics import describe; print(json.dumps(describe()))"
    command = [str(ROOT / "services/indexer/.venv/bin/python"), "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 -- our own command
    rows = [
        f"| `{row['name']}` | {row['type']} | {row['labels']} | {row['description']} |"
        for row in json.loads(done.stdout)
    ]
    return "\n".join(["| metric | type | labels | meaning |", "| --- | --- | --- | --- |", *rows]) + "\n"


def _questions() -> str:
    from precedent_schemas.catalogue import ENDPOINTS  # noqa: PLC0415 -- only this part needs it

    rows = [f"| `{one.subject}` | {one.description} |" for one in ENDPOINTS]
    return "\n".join(["| subject | answer |", "| --- | --- |", *rows]) + "\n"


def _limits() -> str:
    """Every number of `limits` with the sentence that stands below it."""
    from precedent_schemas import limits  # noqa: PLC0415 -- as above

    source = (ROOT / "schemas/src/precedent_schemas/limits.py").read_text(encoding="utf-8")
    rows = []
    for named, said in itertools.pairwise(ast.parse(source).body):
        match named, said:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(sentence))):
                rows.append(f"| `{name}` | {getattr(limits, name):,} | {' '.join(sentence.split())} |")
    return "\n".join(["| limit | value | meaning |", "| --- | ---: | --- |", *rows]) + "\n"


def _stream_settings() -> str:
    from precedent_schemas.streams import STREAM_CONFIGS, STREAM_SETTINGS, Rule, shown  # noqa: PLC0415 -- as above

    rows = []
    for one in STREAM_SETTINGS:
        rule = str(one.rule)
        if one.rule is Rule.REQUIRED:
            values = dict.fromkeys(shown(one.name, config[one.name]) for config in STREAM_CONFIGS)
            rule += f": `{'`, `'.join(values)}`"
        rows.append(f"| `{one.name}` | {rule} | {one.reason} |")
    return "\n".join(["| setting | rule | reason |", "| --- | --- | --- |", *rows]) + "\n"


PARTS: Final[dict[str, Callable[[], str]]] = {
    "limits": _limits,
    "settings": _settings,
    "stream-settings": _stream_settings,
    "metrics": _metrics,
    "questions": _questions,
    "event-fields": reference_tables.event_fields,
    "outcome-fields": reference_tables.outcome_fields,
    "filter-fields": reference_tables.filter_fields,
    "hit-fields": reference_tables.hit_fields,
    "client-settings": reference_tables.client_settings,
}


def main() -> int:
    """Write or check; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail where a part is stale")
    check = parser.parse_args().check
    stale = []
    for document in DOCUMENTS:
        old = document.read_text(encoding="utf-8")
        new = PART.sub(lambda part: part[1] + PARTS[part["name"]]() + part[3], old)
        if new != old:
            stale.append(document.relative_to(ROOT))
            if not check:
                document.write_text(new, encoding="utf-8")
    if check and stale:
        sys.stderr.write(f"stale: {', '.join(map(str, stale))}; write them anew with `make docs`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
