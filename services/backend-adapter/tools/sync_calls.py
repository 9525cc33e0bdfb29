"""Writes the methods of the synchronous client from those of the asynchronous one; --check fails where one is stale.

Each module of `_calls` becomes one of `sync/_calls`: the same signatures and documentation, without `async`.
"""

import argparse
import ast
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
PACKAGE: Final = ROOT / "src" / "precedent_backend_adapter"
MODULES: Final = ("publishing", "questions", "removal")
BY_HAND: Final = ("publish_many",)
"""Its iterable is run in the calling thread."""
HEADER: Final = '"""{doc} Written by `tools/sync_calls.py`: do not edit."""\n\n'


def translated(source: str) -> str:
    """One module of `_calls` without `async`."""
    lines = source.splitlines()
    module = ast.parse(source)
    parts: list[str] = []
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            parts.append(_class(node, lines))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            parts.append("\n".join(lines[node.lineno - 1 : node.end_lineno]))
    documentation = (ast.get_docstring(module) or "").strip()
    text = HEADER.format(doc=documentation) + "\n".join(parts) + "\n"
    text = text.replace("_calls.base import Calls", "sync._base import SyncCalls")
    return _formatted(text.replace("AsyncIterator", "Iterator"))


def _class(node: ast.ClassDef, lines: list[str]) -> str:
    methods = [
        _method(one, lines)
        for one in node.body
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name not in BY_HAND
    ]
    documentation = ast.get_docstring(node)
    return f'\n\nclass {node.name}(SyncCalls):\n    """{documentation}"""\n\n' + "\n\n".join(methods)


def _method(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str:
    documentation = node.body[0]
    text = "\n".join(lines[node.lineno - 1 : documentation.end_lineno]).replace("async def", "def", 1)
    given = [one.arg for one in node.args.args[1:]] + [f"{one.arg}={one.arg}" for one in node.args.kwonlyargs]
    helper = "_iterate" if "AsyncIterator" in ast.unparse(node.returns or ast.Constant(None)) else "_call"
    return f"{text}\n        return self.{helper}(lambda client: client.{node.name}({', '.join(given)}))"


def _formatted(text: str) -> str:
    for arguments in (["check", "--quiet", "--select", "F401,I", "--fix"], ["format", "--quiet"]):
        command = [
            str(Path(sys.executable).parent / "ruff"),
            *arguments,
            "--stdin-filename",
            str(PACKAGE / "x.py"),
            "-",
        ]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)  # noqa: S603 -- our own tool
        text = done.stdout
    return text


def main() -> int:
    """Write or check; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail where a module is stale")
    check = parser.parse_args().check
    stale = []
    for name in MODULES:
        new = translated((PACKAGE / "_calls" / f"{name}.py").read_text(encoding="utf-8"))
        target = PACKAGE / "sync" / "_calls" / f"{name}.py"
        if not target.exists() or target.read_text(encoding="utf-8") != new:
            stale.append(str(target.relative_to(ROOT)))
            if not check:
                target.write_text(new, encoding="utf-8")
    if check and stale:
        sys.stderr.write(f"stale: {', '.join(stale)}; run `make docs`\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
