"""The reader of pages is code as well: what it would overlook, no test would see."""

import pytest

from harness.console import OddPage, first_missing, read_steps

PAGE = """# Page

## Look

```console
$ nats ls
 a   b

$ nats rm
```

## Follow

```console follow
$ nats sub x
```
"""


def test_every_command_is_read() -> None:
    """With its place, section and output, and whether it goes on."""
    first, second, third = read_steps("page.md", PAGE)
    assert (first.where, first.section, first.command) == ("page.md:6", "Look", "nats ls")
    assert first.printed == (" a   b", "")
    assert (second.command, second.printed, second.follows) == ("nats rm", (), False)
    assert (third.section, third.command, third.follows) == ("Follow", "nats sub x", True)


@pytest.mark.parametrize("page", ["```sh\nnats ls\n```\n", "```\n$ nats ls\n```\n", "```console\nnats ls\n```\n"])
def test_what_nobody_would_run_is_refused(page: str) -> None:
    """A block of another language, or one without a prompt, cannot stand there unproven."""
    with pytest.raises(OddPage):
        read_steps("page.md", page)


@pytest.mark.parametrize(
    ("printed", "missing"),
    [
        (("one two",), None),
        (("one…three",), None),
        (("…", "one", "four"), None),
        (("one", "one"), "one"),
        (("four", "one"), "one"),
        (("two one",), "two one"),
        (("one.two",), "one.two"),
        (("one…four",), "one…four"),
    ],
)
def test_output_is_compared_in_order(printed: tuple[str, ...], missing: str | None) -> None:
    """Each line in one of its own, one after the other; the marks for what is left out are no wildcards of a regex."""
    assert first_missing(printed, "  one   two three\n four\n") == missing
