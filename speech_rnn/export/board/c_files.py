"""What is generated in C: models as arrays, the front end's sizes and tables, golden vectors. C99, and C++ reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech_rnn import features
from speech_rnn.card import Card

_LINE = 120
_TYPES = {
    np.dtype(np.int8): "int8_t",
    np.dtype(np.int16): "int16_t",
    np.dtype(np.uint16): "uint16_t",
    np.dtype(np.float32): "float",
}


def front_end_settings(card: Card) -> str:
    """``front_end_settings.h``: what front_end.h is about, as macros."""
    settings = card.features
    floor_db = 10 * np.log10(settings.power_floor)
    values: dict[str, int | np.float32] = {
        "SAMPLE_RATE": settings.sample_rate,
        "N_FFT": settings.n_fft,
        "WIN_LENGTH": settings.win_length,
        "WIN_START": (settings.n_fft - settings.win_length) // 2,
        "HOP_LENGTH": settings.hop_length,
        "N_MELS": settings.n_mels,
        "N_MFCC": settings.n_mfcc,
        "STACK": card.model.stack,
        "POWER_FLOOR": np.float32(settings.power_floor),
        "FLOOR_DB": np.float32(floor_db),
        "FLOOR_MFCC": np.float32(floor_db * np.sqrt(settings.n_mels)),
    }
    return _header("front_end_settings.h", _macros("front_end", values))


def front_end_tables(card: Card, mean: NDArray[np.float32], factor: NDArray[np.float32]) -> str:
    """``front_end_tables.h``: window, mel bands without their zeros, cosines, and what brings MFCC to one spread.

    Args:
        card: of the model.
        mean: float32 [n_mfcc], taken from MFCC.
        factor: float32 [n_mfcc], what they are multiplied by then.
    """
    settings, basis = card.features, features.basis(card.features)
    start = (settings.n_fft - settings.win_length) // 2
    quarter_wave = np.cos(2 * np.pi * np.arange(settings.n_fft // 4 + 1) / settings.n_fft)
    ranges = [np.flatnonzero(band)[[0, -1]] for band in basis.bands.T]
    weights = [band[first : last + 1] for band, (first, last) in zip(basis.bands.T, ranges, strict=True)]
    tables = {
        "front_end_window[FRONT_END_WIN_LENGTH]": basis.window[start : start + settings.win_length],
        "front_end_quarter_wave[FRONT_END_N_FFT / 4 + 1]": quarter_wave,
        "front_end_band_first[FRONT_END_N_MELS]": np.array([first for first, _ in ranges], np.uint16),
        "front_end_band_bins[FRONT_END_N_MELS]": np.array([len(one) for one in weights], np.uint16),
        f"front_end_band_weights[{sum(map(len, weights))}]": np.concatenate(weights),
        "front_end_cosines[FRONT_END_N_MFCC][FRONT_END_N_MELS]": basis.cosines.T,
        "front_end_mean[FRONT_END_N_MFCC]": mean,
        "front_end_factor[FRONT_END_N_MFCC]": factor,
    }
    included = '#include <stdint.h>\n\n#include "front_end_settings.h"\n\n'
    return _header("front_end_tables.h", included + "".join(_table(name, values) for name, values in tables.items()))


def golden_header(name: str, arrays: Mapping[str, NDArray[Any]], macros: Mapping[str, int | float | np.float32]) -> str:
    """``NAME_golden.h``: vectors to hold an implementation to.

    Args:
        name: of the model or part; arrays and macros are named after it.
        arrays: int8, int16 or float32 of one or more dimensions.
        macros: numbers that belong to them.
    """
    tables = (
        _table(f"{name}_golden_{key}" + "".join(f"[{n}]" for n in values.shape), values)
        for key, values in arrays.items()
    )
    body = f"#include <stdint.h>\n\n{_macros(f'{name}_golden', macros)}\n" + "".join(tables)
    return _header(f"{name}_golden.h", body)


def labels_header(labels: Sequence[str]) -> str:
    """``labels.h``: the labels in the order of the scores, as UTF-8."""
    rows = "".join(f'    "{_escaped(label)}",\n' for label in labels)
    return _header(
        "labels.h", f"#define N_LABELS {len(labels)}\n\nstatic const char *const labels[N_LABELS] = {{\n{rows}}};\n"
    )


def model_header(name: str, content: bytes, macros: Mapping[str, int | float | np.float32]) -> str:
    """``NAME.h``: the model's array and what a caller must know of its tensors."""
    return _header(
        f"{name}.h",
        f"{_macros(name, macros)}\n/* The bytes of {name}.tflite, on a boundary of 16 bytes. */\n"
        f'#ifdef __cplusplus\nextern "C" {{\n#endif\n'
        f"extern const unsigned char {name}[{len(content)}];\nextern const unsigned int {name}_size;\n"
        "#ifdef __cplusplus\n}\n#endif\n",
    )


def model_source(name: str, content: bytes) -> str:
    """``NAME.c``: the array; TensorFlow Lite Micro reads it where it lies, without a copy in RAM."""
    return (
        f'/* Written by speech-rnn export: the bytes of {name}.tflite. */\n#include "{name}.h"\n\n'
        "/* Weights are read as words: without alignment some processors fault. */\n"
        "#if defined(__GNUC__) || defined(__clang__)\n#define ALIGNED __attribute__((aligned(16)))\n"
        "#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L\n#define ALIGNED _Alignas(16)\n"
        "#else\n#error no way is known to align an array to 16 bytes with this compiler\n#endif\n\n"
        f"const unsigned char {name}[{len(content)}] ALIGNED = {{\n{_wrapped(map(str, content))}}};\n"
        f"const unsigned int {name}_size = {len(content)};\n"
    )


def included_model_source(name: str, content: bytes) -> str:
    """``NAME.c`` in a hundredth of the bytes: the assembler takes ``NAME.tflite``, which must lie beside it."""
    return (
        f"/* Written by speech-rnn export: the bytes of {name}.tflite, which the assembler reads from the folder of\n"
        '   this file: compile with -I and that folder. */\n#include "{name}.h"\n\n'
        "#if !defined(__ELF__)\n#error this needs GCC or Clang, and ELF; speech-rnn export writes an array for others\n"
        "#endif\n\n"
        "/* Weights are read as words: without alignment some processors fault. */\n"
        f'__asm__(".section .rodata.{name}, \\"a\\"\\n.balign 16\\n.global {name}\\n{name}:\\n"\n'
        f'        ".incbin \\"{name}.tflite\\"\\n.balign 16\\n.previous\\n");\n'
        f"const unsigned int {name}_size = {len(content)};\n"
    ).replace("{name}", name)


def _macros(prefix: str, values: Mapping[str, int | float | np.float32]) -> str:
    return "".join(f"#define {prefix.upper()}_{name} {_literal(value)}\n" for name, value in values.items())


def _escaped(text: str) -> str:
    """What may stand in a C string: anything but letters, digits and a few signs by its octal number."""
    plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-. "
    return "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode())


def _header(file: str, body: str) -> str:
    guard = re.sub(r"\W", "_", file).upper()
    return f"/* Written by speech-rnn export. */\n#ifndef {guard}\n#define {guard}\n\n{body}\n#endif\n"


def _table(declarator: str, values: NDArray[Any]) -> str:
    array = np.asarray(values)
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    return f"static const {_TYPES[array.dtype]} {declarator} = {_initializer(array)};\n\n"


def _initializer(values: NDArray[Any]) -> str:
    if values.ndim > 1:
        return "{\n" + ",\n".join(_initializer(row) for row in values) + "}"
    return "{\n" + _wrapped(_literal(value) for value in values) + "}"


def _literal(value: Any) -> str:
    """A number as C reads it; a float32 in as few digits as tell it from its neighbours."""
    return f"{np.float32(value)!s}f" if isinstance(value, (float, np.floating)) else str(int(value))


def _wrapped(words: Iterable[str]) -> str:
    lines: list[str] = []
    line = ""
    for word in words:
        if len(line) + len(word) + 1 > _LINE:
            lines.append(line)
            line = ""
        line += f"{word},"
    return "\n".join([*lines, line]) + "\n"
