"""A model folder -> one HTML file that listens: LiteRT.js, its WebAssembly, the model and the page's own script inside.

Nothing that comes with a model is ever HTML or script: texts go through the template engine, which escapes them, and
what the script reads lies as JSON in a block that no browser runs. The page's content policy allows the scripts
written here, by their digests, and no request of any kind.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import lzma
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from ai_edge_litert import schema_py_generated as schema
from markupsafe import Markup

from speech_rnn import __version__
from speech_rnn.card import Card, Figure
from speech_rnn.errors import DataError
from speech_rnn.stream_model import StreamModel
from speech_rnn.text import interval, percent, plain
from speech_rnn.web import vendor
from speech_rnn.web.bundle import bundle, library

_SOURCES = Path(__file__).parent / "page"
_COLOURS = Path(__file__).parents[1] / "pages" / "colours.css"  # those of all pages of this project
_MAIN = "main.js"
_CAPTURE = "capture.js"  # runs in the audio thread, by itself
_MOST_WORDS = 40  # in the page's first sentence


def listening_page(model: StreamModel) -> str:
    """The page of a model.

    Args:
        model: one of its stream files, checked: ``speech_rnn.load(...).stream_model``.

    Returns:
        HTML, whole and self-contained, of ASCII and the characters of labels only.
    """
    card = model.card
    modules = {path.name: path.read_text(encoding="utf-8") for path in sorted(_SOURCES.glob("*.js"))}
    capture = modules.pop(_CAPTURE)
    script = bundle(modules, _MAIN)
    litert = library(_vendored("loader.js").decode(), _vendored("core.js").decode())
    style = "".join(path.read_text(encoding="utf-8") for path in (_COLOURS, _SOURCES / "page.css"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_SOURCES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    words = [plain(label, 64) for label in card.labels if not label.startswith("_")]
    return environment.get_template("index.html").render(
        policy=_policy(scripts=(script, litert), style=style),
        style=_inline(style),
        script=_inline(script),
        capture=_inline(capture),
        settings=_json(_settings(card)),
        litert_js=_packed(litert.encode()),
        litert_wasm=_packed(lzma.decompress(_vendored("litert.wasm.xz"))),
        model=_packed(of_one_stream(model.content)),
        name=card.name,
        words=words,
        most_words=_MOST_WORDS,
        synthetic=card.synthetic,
        f_min=f"{card.features.f_min:g}",
        f_max=f"{card.features.f_max:,.0f}",
        threshold=f"{card.detector.threshold:g}",
        smoothing=f"{card.detector.smoothing_s:g}",
        own_thresholds=bool(card.detector.thresholds),
        cell=card.model.cell.upper(),
        parameters=f"{card.parameters:,}",
        clip_s=f"{card.features.clip_s:g}",
        sample_rate=f"{card.features.sample_rate:,}",
        figures=[{"name": plain(figure.name).capitalize(), "text": _in_words(figure)} for figure in card.figures],
        data=[" – ".join(plain(text, 1_000) for text in (one.title, one.origin) if text) for one in card.data],
        version=__version__,
        litert_version=vendor.VERSION,
        license=_vendored("LICENSE").decode(),
    )


def of_one_stream(stream_file: bytes) -> bytes:
    """A stream file with every batch fixed at 1, since LiteRT.js runs no other and refuses one that is open."""
    content = bytearray(stream_file)
    model = schema.Model.GetRootAs(content, 0)
    for graph in (model.Subgraphs(i) for i in range(model.SubgraphsLength())):
        for tensor in (graph.Tensors(i) for i in range(graph.TensorsLength())):
            if tensor.ShapeSignatureLength():
                tensor.ShapeSignatureAsNumpy()[:] = tensor.ShapeAsNumpy()  # a view: this writes into the file
    return bytes(content)


def _settings(card: Card) -> dict[str, Any]:
    """What the page's script is told of the model."""
    features = card.features
    return {
        "labels": list(card.labels),
        "sample_rate": features.sample_rate,
        "clip_length": features.clip_length,
        "step_length": card.step_length,
        "kept_length": card.kept_length,
        "n_steps": card.n_steps,
        "interval_steps": card.interval_steps(card.detector),
        "states": list(card.states),
        "n_mels": features.n_mels,
        "n_mfcc": features.n_mfcc,
        "hop_s": features.hop_s,
        "floor_db": 10 * math.log10(features.power_floor),
        "detector": json.loads(card.detector.to_json()),
    }


def _in_words(figure: Figure) -> str:
    value = (
        f"{percent(figure.value)} ({interval(figure.low, figure.high)})"
        if figure.low is not None
        else f"{figure.value:g}"
    )
    clips = "" if figure.n is None else f" of {figure.n:,} clips"
    return plain(f"{value}{clips}, {figure.data}", 1_000)


def _policy(*, scripts: tuple[str, ...], style: str) -> str:
    """The page's content policy: its own scripts by their digests, and no request.

    ``data:`` is for the audio worklet, which comes by an address only, and ``wasm-unsafe-eval`` compiles WebAssembly.
    """
    allowed = " ".join(_digest(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed} 'wasm-unsafe-eval' data:; style-src {_digest(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _inline(text: str) -> Markup:
    """A text of ours as the content of a script or style element, byte by byte, or its digest would be another."""
    for end in ("</script", "</style", "<!--", "\r"):
        if end in text.lower():
            raise DataError(f"{end!r} can't stand in a page's own script or style; write it otherwise")
    return Markup(text)


def _json(values: Mapping[str, Any]) -> Markup:
    """JSON for an inert block; no character in it can end the block."""
    text = json.dumps(values, ensure_ascii=True, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _packed(content: bytes) -> Markup:
    """Base64 of gzip, without a time: the same model gives the same page."""
    return Markup(base64.b64encode(gzip.compress(content, 9, mtime=0)).decode())


def _vendored(name: str) -> bytes:
    return (vendor.FOLDER / name).read_bytes()
