"""``speech-rnn models``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from speech_rnn.card import CARD_FILE, Card, Figure
from speech_rnn.runtime import shipped_models
from speech_rnn.text import interval, percent, plain

BOARD_FILE, CLIP_FILE = "mcu/step_int8.tflite", "clip.tflite"
ACCURACY = "accuracy"


@click.command(short_help="List the models that come with this package.")
@click.option("--markdown", is_flag=True, help="Print the table in Markdown, as it stands in the project's README.")
@click.option("--json", "as_json", is_flag=True, help="Print the cards, as JSON.")
def command(*, markdown: bool, as_json: bool) -> None:
    """List the models that come with this package, from their cards: size, and how good they are.

    \b
    speech-rnn models
    speech-rnn recognize hello.wav --model gru-12-large
    """
    cards = {name: Card.read(folder / CARD_FILE) for name, folder in shipped_models().items()}
    if as_json:
        click.echo(json.dumps({name: json.loads(card.to_json()) for name, card in cards.items()}, indent=2))
    elif not cards:
        click.echo("no model comes with this install; 'speech-rnn export RUN -o DIR' makes one")
    elif markdown:
        click.echo(_markdown(cards))
    else:
        _print(cards)


def _rows(cards: Mapping[str, Card]) -> list[tuple[str, ...]]:
    head = (
        "model",
        "labels",
        "layers",
        "parameters",
        "board, int8",
        "clip, float32",
        "accuracy",
        "95 % interval",
        "of",
    )
    return [head, *(_row(name, card) for name, card in cards.items())]


def _row(name: str, card: Card) -> tuple[str, ...]:
    entries = [card.files.get(file) for file in (BOARD_FILE, CLIP_FILE)]
    figure = next((one for one in card.figures if one.name == ACCURACY), None)
    return (
        name,
        str(len(card.labels)),
        f"{card.model.cell} {card.model.layers} x {card.model.units}",
        f"{card.parameters:,}",
        *("" if entry is None else f"{entry.bytes / 1_000:,.0f} kB" for entry in entries),
        *(("", "", "") if figure is None else _accuracy(figure)),
    )


def _accuracy(figure: Figure) -> tuple[str, str, str]:
    kind = "synthetic " if figure.synthetic else ""
    clips = "" if figure.n is None else f"{figure.n:,} {kind}clips"
    return percent(figure.value), interval(figure.low, figure.high), clips


def _markdown(cards: Mapping[str, Card]) -> str:
    head, *rows = _rows(cards)
    lines = [head, tuple("---" for _ in head), *((f"`{name}`", *rest) for name, *rest in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _print(cards: Mapping[str, Card]) -> None:
    head, *rows = _rows(cards)
    table = Table(*head, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(plain, row))
    Console(highlight=False, width=None if sys.stdout.isatty() else 1_000).print(table)
    folder = Path(next(iter(shipped_models().values())))
    click.echo(f"\nThey are in {folder.parent}; each has a README.md, and a card.json with every figure.")
