"""Arguments that begin with a dash and are texts all the same: no option has a blank in its name."""

from collections.abc import Collection
from typing import Any

from typer.core import TyperCommand


class TextCommand(TyperCommand):
    """A command that takes an argument such as `"-- admin logged in --"` as a text."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 -- the library's own class is private
        """Put texts that begin with a dash behind `--`, where the library takes everything as a text."""
        options = [one for one in self.params if one.param_type_name == "option"]
        names = {name for one in options for name in one.opts}
        valued = {name for one in options if not getattr(one, "is_flag", False) for name in one.opts}
        return super().parse_args(ctx, texts_last(args, names, valued))


def texts_last(args: list[str], names: Collection[str], valued: Collection[str]) -> list[str]:
    """The same arguments with texts that begin with a dash at the end.

    Args:
        args: as they were typed.
        names: of all options.
        valued: of those that take the next argument as their value.
    """
    kept: list[str] = []
    texts: list[str] = []
    takes_next = False
    for position, arg in enumerate(args):
        if arg == "--" and not takes_next:
            return [*kept, "--", *texts, *args[position + 1 :]]
        if not takes_next and _is_text(arg, names):
            texts.append(arg)
            continue
        takes_next = not takes_next and arg in valued
        kept.append(arg)
    return [*kept, "--", *texts] if texts else args


def _is_text(arg: str, names: Collection[str]) -> bool:
    name = arg.partition("=")[0]
    # `-k 5` in one argument is an option with its value.
    return arg.startswith("-") and any(char.isspace() for char in name) and arg[:2] not in names
