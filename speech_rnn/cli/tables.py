"""Tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from speech_rnn.text import plain


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], gap: int = 2) -> Table:
    """A table without lines.

    Args:
        headings: one that begins with ``>`` is that of numbers.
        rows: cells from anywhere; they are shown as plain text.
        gap: blanks between columns.
    """
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for heading in headings:
        is_number = heading.startswith(">")
        table.add_column(Text(heading.removeprefix(">")), justify="right" if is_number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    return table
