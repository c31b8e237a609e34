from __future__ import annotations

import math
import os
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech_rnn.audio import check_samples, dbfs, fit, read_audio, read_blocks, to_mono
from speech_rnn.errors import AudioError

RATE = 16_000

# The bound is what the format can do: quantization noise for PCM, psychoacoustics for the rest.
FORMATS = [
    ("wav", "WAV", "PCM_U8", 24.0),
    ("wav", "WAV", "PCM_16", 72.0),
    ("wav", "WAV", "PCM_24", 120.0),
    ("wav", "WAV", "PCM_32", 120.0),
    ("wav", "WAV", "FLOAT", 120.0),
    ("wav", "WAV", "DOUBLE", 120.0),
    ("wav", "WAV", "ULAW", 30.0),
    ("wav", "RF64", "PCM_16", 72.0),
    ("aiff", "AIFF", "PCM_16", 72.0),
    ("flac", "FLAC", "PCM_16", 72.0),
    ("flac", "FLAC", "PCM_24", 120.0),
    ("ogg", "OGG", "VORBIS", 25.0),
    ("opus", "OGG", "OPUS", 18.0),
    ("mp3", "MP3", "MPEG_LAYER_III", 25.0),
]


def sine(frequency_hz: float, rate: int, n: int, amplitude: float = 0.5) -> NDArray[np.float64]:
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(n) / rate)


def voice_like(rate: int = RATE, seconds: float = 1.0) -> NDArray[np.float64]:
    """Harmonics of 150 Hz that swell and fade: what speech codecs are made for."""
    time_s = np.arange(round(seconds * rate)) / rate
    tones = sum(np.sin(2 * np.pi * 150 * k * time_s + k) / k for k in range(1, 12))
    return np.asarray(0.2 * tones * np.sin(np.pi * time_s / seconds) ** 2)


def snr_db(wanted: NDArray[Any], got: NDArray[Any]) -> float:
    return 10 * math.log10(np.sum(wanted**2) / max(float(np.sum((wanted - got) ** 2)), 1e-30))


def written(
    path: Path, samples: NDArray[Any], rate: int = RATE, form: str | None = None, subtype: str | None = None
) -> Path:
    soundfile.write(path, samples, rate, format=form, subtype=subtype)
    return path


def wav(data: bytes, *, rate: int = RATE, promised: int | None = None, extra: bytes = b"") -> bytes:
    """A mono 16-bit WAV by hand, so that its header can lie."""
    length = len(data) if promised is None else promised
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, (2 * rate) % 2**32, 2, 16)
    body = b"WAVE" + form + extra + struct.pack("<4sI", b"data", length) + data
    return struct.pack("<4sI", b"RIFF", min(len(body), 2**32 - 1)) + body


PCM = (sine(440, RATE, 1_000) * 32_767).astype("<i2").tobytes()


@pytest.mark.parametrize(("suffix", "form", "subtype", "least_snr_db"), FORMATS)
def test_every_format_gives_back_the_signal(
    tmp_path: Path, suffix: str, form: str, subtype: str, least_snr_db: float
) -> None:
    signal = voice_like()

    got = read_audio(written(tmp_path / f"a.{suffix}", signal, form=form, subtype=subtype), RATE)

    assert got.dtype == np.float32
    assert got.shape == (RATE,)
    assert snr_db(signal, got) > least_snr_db


@pytest.mark.parametrize(("suffix", "form", "subtype"), [(f[0], f[1], f[2]) for f in FORMATS[-3:]])
@pytest.mark.parametrize("rate", [8_000, 48_000])
def test_lossy_formats_keep_level_and_length_at_other_rates(
    tmp_path: Path, suffix: str, form: str, subtype: str, rate: int
) -> None:
    signal = voice_like(rate)

    got = read_audio(written(tmp_path / f"a.{suffix}", signal, rate, form, subtype), RATE)

    assert len(got) == RATE
    assert dbfs(got) == pytest.approx(dbfs(signal), abs=0.3)


@pytest.mark.parametrize("name", ["a.WAV", "a", "a.mp3", "ünï cödé\n.wav"])
def test_what_a_file_holds_counts_and_not_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(wav(PCM))

    assert len(read_audio(tmp_path / name, RATE)) == 1_000


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_resampling_gives_the_sine_that_formula_gives(rate: int) -> None:
    frequency_hz, settled = 1_000.0, 800

    got = to_mono(sine(frequency_hz, rate, rate), rate, RATE)

    wanted = sine(frequency_hz, RATE, RATE)
    assert len(got) == RATE
    np.testing.assert_allclose(got[settled:-settled], wanted[settled:-settled], atol=2e-4)


def test_resampling_leaves_nothing_of_what_the_new_rate_can_not_hold() -> None:
    got = to_mono(sine(11_000, 48_000, 48_000), 48_000, RATE)

    assert dbfs(got[800:-800]) < -90.0


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_a_file_and_its_array_give_the_same_samples(tmp_path: Path, rate: int) -> None:
    signal = (voice_like(rate)[:, None] * [1.0, 0.5]).astype(np.float32)

    got = read_audio(written(tmp_path / "a.wav", signal, rate, subtype="FLOAT"), RATE)

    np.testing.assert_array_equal(got, to_mono(signal, rate, RATE))


@pytest.mark.parametrize(
    ("dtype", "value", "wanted"),
    [
        ("int8", -128, -1.0),
        ("int8", 64, 0.5),
        ("int16", -32_768, -1.0),
        ("int16", 32_767, 32_767 / 32_768),
        (">i2", 16_384, 0.5),
        ("int32", -(2**31), -1.0),
        ("int32", 2**30, 0.5),
        ("uint8", 0, -1.0),
        ("uint8", 128, 0.0),
        ("uint8", 255, 127 / 128),
        ("uint16", 32_768, 0.0),
        ("uint32", 0, -1.0),
        ("float16", 0.25, 0.25),
        ("float32", -1.5, -1.5),
        ("float64", 0.25, 0.25),
        ("longdouble", 0.25, 0.25),
    ],
)
def test_integers_are_scaled_by_their_full_scale(dtype: str, value: float, wanted: float) -> None:
    got = to_mono(np.array([value, value], dtype), RATE, RATE)

    assert got.dtype == np.float32
    assert got.tolist() == [wanted, wanted]


def test_channels_are_averaged() -> None:
    samples = np.array([[0.5, -0.25, 0.5], [1.0, 1.0, -0.5]])

    np.testing.assert_allclose(to_mono(samples, RATE, RATE), [0.25, 0.5])


def test_samples_that_are_ready_are_not_copied() -> None:
    ready = np.ones(10, np.float32)

    assert to_mono(ready, RATE, RATE) is ready
    assert check_samples(ready, "x") is ready
    assert fit(ready, 10) is ready


@given(
    n=st.integers(5, 30_000),
    channels=st.integers(1, 3),
    rate=st.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000]),
    block_s=st.floats(1e-4, 3.0),
    decoded=st.sampled_from([1_000, 131_072]),
)
def test_blocks_together_are_the_whole(n: int, channels: int, rate: int, block_s: float, decoded: int) -> None:
    samples = np.random.default_rng(n).uniform(-1, 1, (n, channels)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = written(Path(folder, "a.wav"), samples, rate, subtype="FLOAT")
        whole = to_mono(samples, rate, RATE)
        patch.setattr("speech_rnn.audio.DECODED_SAMPLES", decoded)

        blocks = list(read_blocks(path, RATE, block_s))

    length = max(1, round(block_s * RATE))
    assert [len(block) for block in blocks[:-1]] == [length] * (len(blocks) - 1)
    assert 1 <= len(blocks[-1]) <= length
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


@pytest.mark.parametrize(("suffix", "form", "subtype"), [(f[0], f[1], f[2]) for f in FORMATS])
def test_blocks_of_every_format_are_the_whole(tmp_path: Path, suffix: str, form: str, subtype: str) -> None:
    path = written(tmp_path / f"a.{suffix}", voice_like(seconds=3.3), 16_000, form, subtype)

    blocks = list(read_blocks(path, 11_025, 0.25))

    np.testing.assert_array_equal(np.concatenate(blocks), read_audio(path, 11_025))


def test_a_long_file_is_never_in_memory_whole(tmp_path: Path) -> None:
    tracemalloc = pytest.importorskip("tracemalloc")
    path = tmp_path / "long.wav"
    hour = 3_600 * RATE
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_U8") as file:
        for _ in range(0, hour, RATE * 100):
            file.write(np.zeros(RATE * 100, np.float32))

    tracemalloc.start()
    n = sum(len(block) for block in read_blocks(path, 8_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert n == hour // 2
    assert peak < 4_000_000


def test_a_flac_from_a_pipe_which_gives_no_length_is_read_whole(tmp_path: Path) -> None:
    path = written(tmp_path / "a.flac", voice_like())
    content = bytearray(path.read_bytes())
    # STREAMINFO (RFC 9639, section 8.2): the number of samples is the last 36 of these 64 bits.
    content[18:26] = (int.from_bytes(content[18:26], "big") & ~(2**36 - 1)).to_bytes(8, "big")
    path.write_bytes(content)

    assert len(read_audio(path, RATE)) == RATE


@pytest.mark.parametrize("promised", [2**32 - 1, 0x7FFF_FFFF, 0x7FFF_F000])
def test_a_wav_from_a_pipe_which_gives_no_length_is_read_whole(tmp_path: Path, promised: int) -> None:
    (tmp_path / "a.wav").write_bytes(wav(PCM, promised=promised))

    assert len(read_audio(tmp_path / "a.wav", RATE)) == 1_000


def test_other_chunks_of_a_wav_do_not_disturb(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(PCM, extra=b"LIST" + struct.pack("<I", 3) + b"abc\0") + b"id3 \2\0\0\0xy")

    assert len(read_audio(tmp_path / "a.wav", RATE)) == 1_000


def test_an_mp3_with_a_tag_before_or_behind_is_read(tmp_path: Path) -> None:
    content = written(tmp_path / "a.mp3", voice_like()).read_bytes()
    (tmp_path / "b.mp3").write_bytes(b"ID3\4\0\0\0\0\1\0" + bytes(128) + content + b"TAG" + bytes(125))

    np.testing.assert_array_equal(read_audio(tmp_path / "b.mp3", RATE), read_audio(tmp_path / "a.mp3", RATE))


@pytest.mark.parametrize(("suffix", "form", "subtype"), [f[:3] for f in FORMATS if f[1] not in ("RF64",)])
@settings(max_examples=15)
@given(share=st.floats(0.0, 0.97))
def test_a_file_cut_off_anywhere_is_refused(suffix: str, form: str, subtype: str, share: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder, f"a.{suffix}"), voice_like(seconds=0.3), form=form, subtype=subtype)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])

        with pytest.raises(AudioError, match=f"a.{suffix}"):
            read_audio(path, RATE)


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (22_050, 2), (44_100, 1), (48_000, 2)])
def test_an_mp3_that_was_cut_off_is_refused_before_its_decoder_writes_to_the_terminal(
    tmp_path: Path, rate: int, channels: int, capfd: pytest.CaptureFixture[str]
) -> None:
    samples = np.repeat(voice_like(rate)[:, None], channels, axis=1)
    content = written(tmp_path / "a.mp3", samples, rate).read_bytes()
    (tmp_path / "b.mp3").write_bytes(content[: len(content) * 3 // 4])

    assert len(read_audio(tmp_path / "a.mp3", RATE)) == RATE
    with pytest.raises(AudioError, match=r"is cut off: .* bytes are missing"):
        read_audio(tmp_path / "b.mp3", RATE)

    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("missing", [1, 2, 999, 1_999, 2_000])
def test_the_error_says_how_much_of_a_wav_is_missing(tmp_path: Path, missing: int) -> None:
    (tmp_path / "a.wav").write_bytes(wav(PCM)[:-missing])

    with pytest.raises(AudioError, match=f"is cut off: {missing} or more of its bytes are missing"):
        read_audio(tmp_path / "a.wav", RATE)


def test_a_header_that_promises_the_moon_costs_no_memory(tmp_path: Path) -> None:
    path = written(tmp_path / "a.flac", voice_like())
    content = bytearray(path.read_bytes())
    content[18:26] = (int.from_bytes(content[18:26], "big") | (2**36 - 1)).to_bytes(8, "big")
    path.write_bytes(content)

    with pytest.raises(AudioError, match=r"16000 (of the 68719476735 )?frames"):
        read_audio(path, RATE)


def with_samples(samples: list[float]) -> Callable[[Path], None]:
    return lambda path: soundfile.write(path, np.array(samples, np.float32), RATE, format="WAV", subtype="FLOAT")


def with_bytes(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


MALFORMED: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, r"bad\.wav' does not exist; check the path"),
    "folder": (lambda path: path.mkdir(), r"bad\.wav' is a folder, where a sound file is wanted"),
    "pipe": (os.mkfifo, r"bad\.wav' is a device or a pipe"),
    "empty": (with_bytes(b""), r"bad\.wav' is empty \(0 bytes\)"),
    "text": (with_bytes(b"hello, world"), r"bad\.wav' is not a sound file; WAV, FLAC, Ogg Vorbis, Opus and MP3"),
    "one byte": (with_bytes(b"R"), r"bad\.wav' is not a sound file"),
    "a page": (with_bytes(b"<!DOCTYPE html>" + bytes(1_000)), r"bad\.wav' is not a sound file"),
    "random": (with_bytes(np.random.default_rng(0).bytes(10_000)), r"bad\.wav' is not a sound file"),
    "header only": (with_bytes(b"RIFF"), r"bad\.wav' is cut off"),
    "no data chunk": (with_bytes(wav(PCM)[:36]), r"bad\.wav' is damaged or of an unknown kind"),
    "format 99": (
        with_bytes(wav(PCM).replace(b"\1\0\1\0", b"\x63\0\1\0", 1)),
        r"bad\.wav' is damaged or of an unknown",
    ),
    "no channel": (with_bytes(wav(PCM).replace(b"\1\0\1\0", b"\1\0\0\0", 1)), r"bad\.wav' is damaged or of an unknown"),
    "no samples": (with_bytes(wav(b"")), r"bad\.wav': there must be at least one sample"),
    "rate zero": (with_bytes(wav(PCM, rate=0)), r"bad\.wav': rate=0 must be a rate of 1000 to 768000 Hz"),
    "rate absurd": (with_bytes(wav(PCM, rate=2**31)), r"bad\.wav': rate=2147483648 must be a rate of 1000"),
    "NaN": (with_samples([0.0, 0.1, math.nan]), r"bad\.wav': sample 2 is nan, but all must be finite"),
    "infinity": (with_samples([-math.inf, 0.1]), r"bad\.wav': sample 0 is -inf, but all must be finite"),
    "unscaled": (with_samples([0.0, 12_345.0]), r"bad\.wav': samples reach 12345, but full scale is ±1; divide"),
    "ogg of nothing": (with_bytes(b"OggS" + bytes(23)), r"bad\.wav' is damaged or of an unknown kind"),
    "flac of nothing": (with_bytes(b"fLaC" + bytes(100)), r"bad\.wav' is damaged or of an unknown kind"),
    "aiff of nothing": (with_bytes(b"FORM" + bytes(100)), r"bad\.wav' is damaged or of an unknown kind"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_every_bad_file_has_its_own_error_with_the_files_name(
    tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    make, message = MALFORMED[case]
    make(tmp_path / "bad.wav")

    with pytest.raises(AudioError, match=message) as found:
        read_audio(tmp_path / "bad.wav", RATE)

    with pytest.raises(AudioError, match=message):
        list(read_blocks(str(tmp_path / "bad.wav"), RATE))
    assert "\n" not in str(found.value)
    assert found.value.__cause__ is None
    assert capfd.readouterr() == ("", "")


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.wav").write_bytes(wav(PCM))
    monkeypatch.setattr(Path, "open", refuse)

    with pytest.raises(AudioError, match=r"a\.wav' can't be opened \(Permission denied\); check path and permissions"):
        read_audio(tmp_path / "a.wav", RATE)


@pytest.mark.parametrize("path", ["a\0b.wav", "x" * 5_000])
def test_an_impossible_path_is_an_audio_error(path: str) -> None:
    with pytest.raises(AudioError, match="can't be opened"):
        read_audio(path, RATE)


@pytest.mark.parametrize("rate", [0, -16_000, 999, 10**9, math.nan, math.inf, True, "16000", None, 1j])
def test_a_rate_out_of_range_is_refused_everywhere(rate: Any) -> None:
    samples = np.zeros(10, np.float32)

    for call in (
        lambda: to_mono(samples, rate, RATE),
        lambda: to_mono(samples, RATE, rate),
        lambda: read_audio("missing.wav", rate),
        lambda: read_blocks("missing.wav", rate),
    ):
        with pytest.raises(AudioError, match=r"rate=.* must be a rate of 1000 to 768000 Hz; 16000 is usual"):
            call()


@pytest.mark.parametrize("block_s", [0.0, -1.0, math.nan, math.inf])
def test_a_block_has_a_length(block_s: float) -> None:
    with pytest.raises(AudioError, match=r"block_s=.* must be above 0 seconds"):
        read_blocks("missing.wav", RATE, block_s)


BAD_ARRAYS: list[tuple[Any, str]] = [
    (np.zeros(0), "at least one sample"),
    (np.zeros((0, 2)), "at least one sample"),
    (np.zeros((5, 0)), r"\(5, 0\) must be \[samples, channels\]"),
    (np.float32(0.5), r"of shape \(\) must be"),
    (np.zeros((2, 3, 4)), r"of shape \(2, 3, 4\) must be"),
    (np.zeros((2, 16_000)), r"\(2, 16000\) must be \[samples, channels\] with 1 to 32 channels; transpose"),
    (np.zeros(5, bool), "of dtype bool must be floats, or integers of 8, 16 or 32 bits"),
    (np.zeros(5, complex), "of dtype complex128 must be"),
    (np.array([None, 1.0]), "of dtype object must be"),
    (np.array(["a"]), "of dtype <U1 must be"),
    (np.zeros(5, np.int64), r"of dtype int64 must be .*; convert them, 16-bit values with .astype\('int16'\)"),
    (np.zeros(5, "datetime64[s]"), r"of dtype datetime64\[s\] must be"),
    ([[0.0, 1.0], [0.0]], "must be one array, not lists of several lengths"),
    (np.array([0.0, math.nan]), "sample 1 is nan, but all must be finite"),
    (np.array([math.inf, 0.0]), "sample 0 is inf, but all must be finite"),
    (np.array([0.0, -1e300]), "samples reach 1e\\+300, but full scale is ±1"),
    (np.array([0.0, 20_000.0]), "samples reach 20000, but full scale is ±1; divide 16-bit values by 32768"),
]


@pytest.mark.parametrize(("samples", "message"), BAD_ARRAYS)
def test_a_bad_array_is_refused(samples: Any, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        to_mono(samples, RATE, RATE)


def test_an_array_that_leaves_no_sample_at_the_lower_rate_is_refused() -> None:
    with pytest.raises(AudioError, match="at least one sample"):
        to_mono(np.zeros(1), 48_000, RATE)


def test_the_gate_names_what_it_refuses() -> None:
    with pytest.raises(AudioError, match="microphone: sample 0 is nan"):
        check_samples(np.array([math.nan]), "microphone")
    with pytest.raises(AudioError, match=r"microphone of shape \(2, 2\) must be \[samples\]"):
        check_samples(np.zeros((2, 2)), "microphone")


@pytest.mark.parametrize(
    ("align", "longer", "shorter"),
    [
        ("start", [1, 2, 3, 0, 0, 0], [1, 2]),
        ("middle", [0, 1, 2, 3, 0, 0], [1, 2]),
        ("end", [0, 0, 0, 1, 2, 3], [2, 3]),
    ],
)
def test_a_clip_is_padded_and_cut_by_rule(align: Any, longer: list[int], shorter: list[int]) -> None:
    samples = np.array([1, 2, 3], np.float32)

    assert fit(samples, 6, align=align).tolist() == longer
    assert fit(samples, 2, align=align).tolist() == shorter


@given(n=st.integers(0, 50), length=st.integers(1, 50), align=st.sampled_from(["start", "middle", "end"]))
def test_fitting_keeps_all_that_fits_in_order(n: int, length: int, align: Any) -> None:
    samples = np.arange(1, n + 1, dtype=np.float32)

    fitted = fit(samples, length, align=align)

    kept = fitted[fitted > 0]
    assert len(fitted) == length
    assert len(kept) == min(n, length)
    assert (np.diff(kept) == 1).all()


@pytest.mark.parametrize(("samples", "length"), [(np.zeros(3), 0), (np.zeros((3, 2)), 5)])
def test_fitting_refuses_no_length_and_channels(samples: NDArray[Any], length: int) -> None:
    with pytest.raises(AudioError):
        fit(samples, length)


@pytest.mark.parametrize(
    ("samples", "level"),
    [
        (np.ones(100), 0.0),
        (np.full(100, 0.1, np.float32), -20.0),
        (sine(1_000, RATE, RATE, 1.0), -10 * math.log10(2)),
        (np.full(100, 16_384, np.int16), -20 * math.log10(2)),
        (np.zeros(100), -math.inf),
    ],
)
def test_levels_are_those_of_the_formula(samples: NDArray[Any], level: float) -> None:
    assert dbfs(samples) == pytest.approx(level, abs=1e-5)


def test_silence_of_nothing_has_no_level() -> None:
    with pytest.raises(AudioError, match="at least one sample"):
        dbfs(np.zeros(0))
