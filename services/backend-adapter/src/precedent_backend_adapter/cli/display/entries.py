"""Events on stdout: as blocks, or with chosen fields as CSV, JSON lines or a table."""

from collections.abc import Sequence

from precedent_backend_adapter.cli.display import columns, tables, wording
from precedent_backend_adapter.cli.display.blocks import Block
from precedent_backend_adapter.cli.display.output import Output
from precedent_schemas import Entry


def show_entries(
    out: Output,
    entries: Sequence[Entry],
    names: Sequence[str] | None = None,
    *,
    words: Sequence[str] = (),
    csv: bool = False,
) -> None:
    """Show events.

    Args:
        out: where to.
        entries: the events, in their order.
        names: fields of a row; None shows blocks.
        words: of the question; marked in the texts of blocks.
        csv: rows as CSV.
    """
    if names is None:
        now = wording.now()
        out.show(None, *(part for entry in entries for part in (Block(entry, words, now), "")))
        return
    rows = [columns.row(entry, names) for entry in entries]
    if csv:
        out.write(columns.as_csv(names, (list(row.values()) for row in rows)))
    elif out.json:
        for row in rows:
            out.show(row)
    else:
        out.show(None, tables.rows(names, (list(row.values()) for row in rows)))
