from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speech_rnn import features
from speech_rnn.audio import read_audio
from speech_rnn.config import FeatureSettings, ModelSettings
from speech_rnn.errors import ModelError
from speech_rnn.export.board import c_files
from speech_rnn.export.board.emulation import CompiledFrontEnd, compile_c
from speech_rnn.export.board.running import Quantization
from tests.export.conftest import Board
from tests.librosa_features import librosa_mfcc
from tests.sounds import clean_sounds, real_sounds
from tests.strategies import feature_settings
from tests.tflite_models import make_card

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler 'cc' is found")

WRITTEN = Path(c_files.__file__).parent
LEVELS_DB = (-60.0, -30.0, 0.0)
SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def write_front_end(
    folder: Path,
    settings: FeatureSettings,
    stack: int = 1,
    mean: NDArray[np.float32] | None = None,
    factor: NDArray[np.float32] | None = None,
) -> Path:
    card = make_card(features=settings, model=ModelSettings(stack=stack))
    zeros, ones = np.zeros(settings.n_mfcc, np.float32), np.ones(settings.n_mfcc, np.float32)
    tables = c_files.front_end_tables(card, zeros if mean is None else mean, ones if factor is None else factor)
    folder.mkdir(exist_ok=True)
    (folder / "front_end_settings.h").write_text(c_files.front_end_settings(card))
    (folder / "front_end_tables.h").write_text(tables)
    for file in ("front_end.c", "front_end.h"):
        shutil.copy(WRITTEN / file, folder)
    return folder


def of_steps(frames: NDArray[np.float32], stack: int) -> NDArray[np.float32]:
    whole = len(frames) // stack
    return frames[: whole * stack].reshape(whole, stack * frames.shape[1])


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_front_end(tmp_path_factory.mktemp("c") / "front_end", FeatureSettings(), stack=3)


USUAL = {
    "usual": FeatureSettings(),
    "telephone, few coefficients": FeatureSettings(f_max=4_000.0, n_mels=32, n_mfcc=13, win_length=400, hop_length=320),
    "8 kHz, a hop that shares no factor with the window": FeatureSettings(
        sample_rate=8_000,
        clip_length=4_000,
        n_fft=256,
        win_length=201,
        hop_length=81,
        f_max=3_800.0,
        n_mels=20,
        n_mfcc=20,
    ),
}


@pytest.mark.parametrize("settings", USUAL.values(), ids=USUAL.keys())
def test_usual_settings_agree_with_librosa_within_a_thousandth_on_speech_noise_and_silence(
    settings: FeatureSettings, tmp_path: Path
) -> None:
    front_end = CompiledFrontEnd(write_front_end(tmp_path / "c", settings, 2))

    for seed in range(4):
        for level_db in LEVELS_DB:
            for samples in real_sounds(settings, level_db, seed):
                front_end.start()
                expected = of_steps(librosa_mfcc(samples, settings), 2)
                np.testing.assert_allclose(front_end.push(samples), expected, atol=1e-3)


def test_true_recordings_agree_with_librosa_within_a_thousandth(usual: Path, recordings: Path) -> None:
    front_end, settings = CompiledFrontEnd(usual), FeatureSettings()
    files = sorted((recordings / "speech_commands_original").glob("*/*.*"))[:: 10_000 // 20]

    for file in files:
        samples = read_audio(file, settings.sample_rate)
        front_end.start()
        expected = of_steps(librosa_mfcc(samples, settings), 3)
        np.testing.assert_allclose(front_end.push(samples), expected, atol=1e-3)


@hypothesis.settings(max_examples=10)
@given(settings=feature_settings(max_n_fft=1_024, max_frames=7), stack=st.integers(1, 3), seed=st.integers(0, 9))
def test_every_legal_setting_agrees_with_librosa_as_near_as_a_float32_fft_comes(
    settings: FeatureSettings, stack: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # What rounds shows under a lower floor, in bands of one bin, in long frames: SciPy's FFT in float32 is as far off.
    settings = settings.changed(power_floor=max(settings.power_floor, 1e-8))
    front_end = CompiledFrontEnd(write_front_end(tmp_path_factory.mktemp("c"), settings, stack))

    for level_db in LEVELS_DB:
        for samples in real_sounds(settings, level_db, seed):
            front_end.start()
            expected = of_steps(librosa_mfcc(samples, settings), stack)
            np.testing.assert_allclose(front_end.push(samples), expected, atol=1e-2)


def test_a_clean_tone_agrees_within_a_hundredth(usual: Path) -> None:
    front_end = CompiledFrontEnd(usual)

    for samples in clean_sounds(FeatureSettings(), 0.0, 0):
        front_end.start()
        expected = of_steps(features.mfcc(samples[np.newaxis], FeatureSettings())[0], 3)
        np.testing.assert_allclose(front_end.push(samples), expected, atol=1e-2)


@pytest.mark.parametrize("chunk", [1, 7, 160, 999])
def test_chunks_of_any_size_give_the_same_steps_to_the_bit(usual: Path, chunk: int) -> None:
    front_end = CompiledFrontEnd(usual)
    samples = real_sounds(FeatureSettings(), -10.0, 0)[0]
    whole = front_end.push(samples)

    front_end.start()
    parts = [front_end.push(samples[start : start + chunk]) for start in range(0, len(samples), chunk)]

    assert len(whole) == 97 // 3
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert front_end.push(samples[:0]).shape == (0, 120)


def test_sixteen_bits_are_heard_as_floats_of_full_scale(usual: Path) -> None:
    front_end = CompiledFrontEnd(usual)
    samples = np.random.default_rng(0).integers(-32_768, 32_768, 4_000).astype(np.int16)
    from_integers = front_end.push(samples)

    front_end.start()

    np.testing.assert_array_equal(front_end.push(samples / np.float32(32_768)), from_integers)


def test_what_is_no_number_is_heard_as_silence_and_is_gone_with_its_frame(usual: Path) -> None:
    front_end = CompiledFrontEnd(usual)
    samples = real_sounds(FeatureSettings(), -10.0, 1)[0]
    broken = samples.copy()
    broken[[5, 100, 400]] = np.nan, np.inf, -1e30
    samples[[5, 100, 400]] = 0.0
    expected = front_end.push(samples)

    front_end.start()

    np.testing.assert_array_equal(front_end.push(broken), expected)


def test_values_are_normalized_rounded_and_bounded_as_the_model_takes_them(tmp_path: Path) -> None:
    settings = FeatureSettings(n_mfcc=13)
    rng = np.random.default_rng(0)
    mean, factor = rng.normal(0, 20, 13).astype(np.float32), rng.uniform(0.01, 0.1, 13).astype(np.float32)
    front_end = CompiledFrontEnd(write_front_end(tmp_path, settings, 2, mean, factor))
    quantization = Quantization(0.02, -7)
    samples = real_sounds(settings, -10.0, 0)[0]
    frames = front_end.push(samples).reshape(-1, 13)

    front_end.start()
    quantized = front_end.push(samples, quantization)

    expected = np.rint((frames - mean) * factor / np.float32(0.02)) - 7
    assert (expected > 127).any()
    assert (expected < -128).any()
    # Where a value lies between two integers, the last bit of a float decides.
    off = np.abs(quantized.reshape(-1, 13) - np.clip(expected, -128, 127))
    assert off.max() <= 1
    assert (off > 0).mean() < 1e-3


def test_it_takes_a_few_kilobytes(usual: Path) -> None:
    assert CompiledFrontEnd(usual).n_bytes == 4 * (2 * 512 + 120 + 3)


def test_the_example_program_finds_its_golden_vectors_and_no_sanitizer_complains(
    boards: Callable[[str], Board], tmp_path: Path
) -> None:
    board = boards("gru")
    program = sanitized([board.folder / "main.c", board.folder / "front_end.c"], tmp_path / "program")
    noise = np.random.default_rng(0).integers(-32_768, 32_768, 3_000).astype("<i2")
    (tmp_path / "noise.raw").write_bytes(noise.tobytes() + b"\1")

    compared = subprocess.run([program], check=False, capture_output=True, text=True)
    printed = subprocess.run([program, tmp_path / "noise.raw"], check=False, capture_output=True, text=True)
    missing = subprocess.run([program, tmp_path / "none.raw"], check=False, capture_output=True, text=True)

    assert (compared.returncode, compared.stderr) == (0, "")
    assert compared.stdout.startswith("2 of 2 steps, largest difference ")
    assert (printed.returncode, printed.stderr) == (0, "")
    frames = np.array([line.split() for line in printed.stdout.splitlines()], np.float32)
    expected = librosa_mfcc((noise / 32_768).astype(np.float32), board.card.features)
    np.testing.assert_allclose(frames, expected, atol=1e-3)
    assert missing.returncode == 1
    assert missing.stderr == f"{tmp_path / 'none.raw'} can't be read\n"


@pytest.mark.parametrize("hop_length", [1, 33, 64])
def test_no_sanitizer_complains_of_the_smallest_front_ends(hop_length: int, tmp_path: Path) -> None:
    settings = FeatureSettings(
        sample_rate=4_000, n_fft=64, win_length=16, hop_length=hop_length, n_mels=4, n_mfcc=1, f_max=2_000.0
    )
    folder = write_front_end(tmp_path / "c", settings)
    golden: dict[str, NDArray[Any]] = {
        "samples": np.zeros(300, np.int16),
        "mfcc": librosa_mfcc(np.zeros(300, np.float32), settings),
    }
    (folder / "front_end_golden.h").write_text(c_files.golden_header("front_end", golden, {"TOLERANCE": 1e-3}))
    shutil.copy(WRITTEN / "main.c", folder)

    program = sanitized([folder / "main.c", folder / "front_end.c"], tmp_path / "program")

    result = subprocess.run([program], check=False, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_each_model_is_an_aligned_array_of_its_files_bytes(boards: Callable[[str], Board], tmp_path: Path) -> None:
    board = boards("lstm")

    for model in board.models:
        library = ctypes.CDLL(
            str(compile_c([board.folder / f"{model}.c"], tmp_path / f"{model}.so", "-shared", "-fPIC"))
        )
        size = ctypes.c_uint.in_dll(library, f"{model}_size").value
        array = (ctypes.c_ubyte * size).in_dll(library, model)
        assert bytes(array) == board.content(model)
        assert ctypes.addressof(array) % 16 == 0


def test_every_header_is_read_alone_by_c_and_by_cpp(boards: Callable[[str], Board]) -> None:
    folder = boards("lstm").folder
    compilers = [
        [found, *options]
        for name, *options in (("cc", "-xc", "-std=c99"), ("c++", "-xc++", "-std=c++11"))
        if (found := shutil.which(name))
    ]
    headers = sorted(folder.glob("*.h"))

    for compiler in compilers:
        for header in headers:
            command = [*compiler, "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wno-unused-variable", "-fsyntax-only"]
            source = f'#include "{header}"\ntypedef int iso_c_forbids_a_file_of_nothing;\n'
            result = subprocess.run([*command, "-"], check=False, capture_output=True, text=True, input=source)
            assert result.returncode == 0, result.stderr
    assert len(headers) == 9


def test_labels_are_c_strings_whatever_stands_in_them(tmp_path: Path) -> None:
    labels = ('quote"', "back\\slash", "trigraph??/", "häuser", "%s1")
    source = tmp_path / "labels.c"
    source.write_text(c_files.labels_header(labels).replace("static const char *const", "const char *const"))

    library = ctypes.CDLL(str(compile_c([source], tmp_path / "labels.so", "-shared", "-fPIC")))

    found = (ctypes.c_char_p * len(labels)).in_dll(library, "labels")
    assert tuple(one.decode() for one in found if one is not None) == labels


def test_a_compiler_that_is_missing_or_not_content_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wrong.c").write_text("int main(void) { int unused; return 0; }")

    with pytest.raises(ModelError, match=r"cc refuses wrong\.c: .*unused"):
        compile_c([tmp_path / "wrong.c"], tmp_path / "program")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ModelError, match=r"no C compiler 'cc' is found, and .* wants one; install gcc or clang"):
        compile_c([tmp_path / "wrong.c"], tmp_path / "program")


def sanitized(sources: Sequence[Path], program: Path) -> Path:
    try:
        return compile_c(sources, program, *SANITIZED)
    except ModelError as error:
        if "asan" in str(error) or "ubsan" in str(error):
            pytest.skip("the compiler comes without its sanitizers' libraries")
        raise
