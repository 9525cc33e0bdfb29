"""The committed documents of the contract, read once."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"


class Documents:
    """JSON Schemas, examples and the AsyncAPI document, as they are in the repository."""

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {
            path.name.removesuffix(".schema.json"): json.loads(path.read_text(encoding="utf-8"))
            for path in sorted((SCHEMAS / "json").glob("*.schema.json"))
        }
        self.asyncapi: dict[str, Any] = yaml.safe_load((SCHEMAS / "asyncapi.yaml").read_text(encoding="utf-8"))

    def check(self, message: object, name: str) -> None:
        """Raises ValidationError where `message` is not as the schema `name` says."""
        jsonschema.Draft202012Validator(
            self.schemas[name], format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        ).validate(message)


@pytest.fixture(scope="session")
def documents() -> Documents:
    """Everything under `schemas/` that others read."""
    return Documents()
