"""What the tests share: validators of the JSON Schemas, with the formats checked."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from export import json_schema
from jsonschema import Draft202012Validator, FormatChecker

FORMATS = FormatChecker(formats=("ipv4", "ipv6"))


@FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    """RFC 3339, told without the code under test; only strings have a format."""
    if not isinstance(value, str):
        return True
    if not re.fullmatch(r"\d{4}-\d\d-\d\dt\d\d:\d\d:\d\d(\.\d+)?(z|[+-]\d\d:\d\d)", value, re.ASCII | re.IGNORECASE):
        return False
    datetime.fromisoformat(re.sub(r":60(?=[.zZ+-])", ":59", value.upper()))
    return True


@pytest.fixture(scope="session")
def formats() -> FormatChecker:
    """The format checker that the validators use."""
    return FORMATS


@pytest.fixture(scope="session")
def validator() -> Callable[[str], Draft202012Validator]:
    """The validator of the message with this name."""
    made: dict[str, Draft202012Validator] = {}

    def of(name: str) -> Draft202012Validator:
        if name not in made:
            schema: dict[str, Any] = json_schema(name)
            made[name] = Draft202012Validator(schema, format_checker=FORMATS)
        return made[name]

    return of
