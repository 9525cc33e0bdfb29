"""Failures on the wire: codes, reasons and details."""

import pytest

from precedent_schemas import codec
from precedent_schemas.failures import ERROR_CODES, DeadReason, ErrorBody, ErrorReason, ascii_detail


def test_error_codes() -> None:
    """Every reason has one code and every code one reason; callers branch on them, so they are spelled out here."""
    assert {str(reason): code for reason, code in ERROR_CODES.items()} == {
        "invalid_request": 400,
        "not_found": 404,
        "refused": 409,
        "too_large": 413,
        "overloaded": 429,
        "internal": 500,
        "unavailable": 503,
        "not_indexed_yet": 504,
    }
    assert set(ERROR_CODES) == set(ErrorReason)


def test_dead_reasons_are_single_tokens() -> None:
    """A reason is the last token of a dead letter's subject."""
    assert [str(reason) for reason in DeadReason] == ["malformed", "invalid", "too_large", "unprocessable"]


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("plain words: 'a' ~ 1", "plain words: 'a' ~ 1"),
        ("", ""),
        ("M\u00fcller\r\nX: y\x1b[31m\x7f\u202e", "M?ller??X: y?[31m??"),
        ("a" * 256, "a" * 256),
        ("a" * 257, "a" * 253 + "..."),
        ("\u00e4" * 10_000, "?" * 253 + "..."),
    ],
)
def test_details_fit_a_header(text: str, detail: str) -> None:
    """Printable ASCII of at most 256 characters: no line break adds a header, no escape reaches a terminal."""
    assert ascii_detail(text) == detail


def test_errors_of_newer_services_are_read() -> None:
    """A caller reads an error with a reason and a field that it does not know."""
    data = b'{"error":{"code":418,"reason":"teapot","message":"short","hint":"stout"},"new":1}'
    error = codec.decode(ErrorBody, data).error
    assert (error.code, error.reason, error.message, error.details) == (418, "teapot", "short", [])
