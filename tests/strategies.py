"""Hypothesis strategies for legal settings."""

from __future__ import annotations

from hypothesis import reject
from hypothesis import strategies as st

from speech_rnn.config import (
    AugmentationSettings,
    CommonLabels,
    FeatureSettings,
    ModelSettings,
    RunSettings,
    TaskSettings,
    TrainingSettings,
    is_label,
)
from speech_rnn.errors import SettingsError

RATES = (4_000, 8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000)


@st.composite
def feature_settings(
    draw: st.DrawFn, *, max_n_fft: int = 1_024, max_frames: int = 20, max_mels: int = 128
) -> FeatureSettings:
    """Front ends of every shape, small enough for many a test: clips of at most ``max_frames`` frames.

    The number of mel bands is lowered to what the bins of the FFT can fill.
    """
    sample_rate = draw(st.sampled_from(RATES))
    n_fft = draw(
        st.sampled_from([size for size in (32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192) if size <= max_n_fft])
    )
    hop_length = draw(st.integers(1, n_fft) | st.sampled_from([n_fft // 2, n_fft // 4]))
    n_frames = draw(st.integers(1, max_frames))
    surplus = draw(st.integers(0, hop_length - 1))
    f_max = draw(st.just(sample_rate / 2) | st.floats(0.2 * sample_rate, 0.5 * sample_rate))
    f_min = draw(st.sampled_from([0.0, 20.0]) | st.floats(0.0, f_max / 2))
    n_mels = draw(st.integers(4, max_mels))
    n_mfcc = draw(st.integers(1, n_mels))
    win_length = draw(st.integers(16, n_fft) | st.just(n_fft))
    power_floor = draw(st.sampled_from([1e-10, 1e-8, 1e-4]))
    while True:
        try:
            return FeatureSettings(
                sample_rate=sample_rate,
                clip_length=max(256, n_fft + (n_frames - 1) * hop_length + surplus),
                n_fft=n_fft,
                win_length=win_length,
                hop_length=hop_length,
                n_mels=n_mels,
                n_mfcc=min(n_mfcc, n_mels),
                f_min=f_min,
                f_max=f_max,
                power_floor=power_floor,
            )
        except SettingsError as error:
            if not str(error).startswith("n_mels="):
                raise
            if n_mels == 4:
                reject()
            n_mels = max(4, n_mels * 3 // 4)


def labels() -> st.SearchStrategy[str]:
    """Words that can be a label, in any script."""
    return st.text(min_size=1, max_size=64).map(str.strip).filter(is_label)


def _decibels(low: float, high: float) -> st.SearchStrategy[tuple[float, float]]:
    return st.tuples(st.floats(low, high), st.floats(low, high)).map(lambda pair: (min(pair), max(pair)))


@st.composite
def augmentation_settings(draw: st.DrawFn) -> AugmentationSettings:
    """Augmentations of every strength."""
    share, extent = st.floats(0.0, 1.0), st.floats(0.0, 0.5, exclude_max=True)
    snr_low_db, snr_high_db = draw(_decibels(-30.0, 60.0))
    return AugmentationSettings(
        renderings=draw(st.integers(1, 64)),
        room_probability=draw(share),
        speed_probability=draw(share),
        speed_range=draw(extent),
        overload_probability=draw(share),
        shift_ms=draw(st.floats(0.0, 1_000.0)),
        tempo_range=draw(extent),
        pitch_range=draw(extent),
        gain_probability=draw(share),
        gain_low_db=draw(st.floats(-60.0, 0.0)),
        gain_high_db=draw(st.floats(0.0, 40.0)),
        colour_db=draw(st.floats(0.0, 40.0)),
        neighbour_probability=draw(share),
        noise_probability=draw(share),
        snr_low_db=snr_low_db,
        snr_high_db=snr_high_db,
        splice_probability=draw(share),
        reverse_probability=draw(share),
        time_masks=draw(st.integers(0, 10)),
        time_mask_frames=draw(st.integers(0, 1_000)),
        frequency_masks=draw(st.integers(0, 10)),
        frequency_mask_mels=draw(st.integers(0, 128)),
    )


@st.composite
def task_settings(draw: st.DrawFn) -> TaskSettings:
    """Tasks of every kind."""
    share = st.none() | st.floats(0.0, 10.0)
    low_db, high_db = draw(_decibels(-120.0, 0.0))
    common: st.SearchStrategy[CommonLabels] = st.sampled_from(["12", "35", "all"])
    words = st.lists(labels(), min_size=1, max_size=5, unique=True).map(tuple)
    return TaskSettings(
        labels=draw(common | words),
        unknown_share=draw(share),
        silence_share=draw(share),
        silence_low_db=low_db,
        silence_high_db=high_db,
    )


def model_settings(*, max_stack: int = 32) -> st.SearchStrategy[ModelSettings]:
    """Classifiers of every shape, to be described rather than built."""
    return st.builds(
        ModelSettings,
        cell=st.sampled_from(["lstm", "gru", "rnn", "a cell of one's own"]),
        units=st.integers(1, 4_096),
        layers=st.integers(1, 8),
        stack=st.integers(1, max_stack),
        both_ways=st.booleans(),
        dropout=st.floats(0.0, 1.0, exclude_max=True),
        precision=st.sampled_from(["float32", "bfloat16_products", "mixed_float16", "mixed_bfloat16"]),
    )


def training_settings() -> st.SearchStrategy[TrainingSettings]:
    """Loops of every length."""
    return st.builds(
        TrainingSettings,
        epochs=st.integers(1, 100_000),
        batch_size=st.integers(1, 65_536),
        learning_rate=st.floats(0.0, 1.0, exclude_min=True),
        warmup_share=st.floats(0.0, 1.0, exclude_max=True),
        weight_decay=st.floats(0.0, 1.0),
        clip_norm=st.floats(0.0, exclude_min=True, allow_infinity=False),
        label_smoothing=st.floats(0.0, 1.0, exclude_max=True),
        seed=st.integers(0, 2**32 - 1),
    )


@st.composite
def run_settings(draw: st.DrawFn) -> RunSettings:
    """Runs whose parts fit each other."""
    features = draw(feature_settings())
    return RunSettings(
        features=features,
        task=draw(task_settings()),
        augmentation=draw(augmentation_settings()),
        model=draw(model_settings(max_stack=min(32, features.n_frames))),
        training=draw(training_settings()),
    )
