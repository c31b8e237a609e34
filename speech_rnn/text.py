"""Words and numbers for people: how a share is written, and what of a name from outside may be shown."""

from __future__ import annotations


def plain(text: str, most: int = 24) -> str:
    """Text that any terminal, font, parser and direction can bear: printable, at most ``most`` characters.

    >>> plain("\\x1b[31mred\\u202e")
    '�[31mred�'
    """
    printable = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return printable if len(printable) <= most else printable[: most - 1] + "…"


def percent(share: float | None) -> str:
    """A share in per cent with one decimal; a dash where there is none.

    >>> percent(0.9604), percent(None)
    ('96.0 %', '–')
    """
    return "–" if share is None else f"{100 * share:.1f} %"


def interval(low: float | None, high: float | None) -> str:
    """Two shares in per cent; a dash where there is none.

    >>> interval(0.888, 0.918)
    '88.8–91.8 %'
    """
    return "–" if low is None or high is None else f"{100 * low:.1f}–{100 * high:.1f} %"


def rate(number: float) -> str:
    """Events an hour, to three digits.

    >>> rate(0.5), rate(18.39), rate(127.33), rate(1234.5)
    ('0.50', '18.4', '127', '1,234')
    """
    return f"{number:.2f}" if number < 9.995 else f"{number:.1f}" if number < 99.95 else f"{number:,.0f}"


def signed(number: float, digits: str = ".1f") -> str:
    """A number with its sign, a minus as wide as a plus.

    >>> signed(0.26), signed(-3.04), signed(12, ".3g")
    ('+0.3', '−3.0', '+12')
    """
    return format(number, f"+{digits}").replace("-", "−")
