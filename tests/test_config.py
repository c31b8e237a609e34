from __future__ import annotations

import copy
import json
import math
import pickle
import warnings
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from speech_rnn.config import (
    AugmentationSettings,
    FeatureSettings,
    ModelSettings,
    RunSettings,
    TaskSettings,
    TrainingSettings,
    is_label,
)
from speech_rnn.errors import SettingsError
from speech_rnn.settings import Settings
from tests.strategies import (
    RATES,
    augmentation_settings,
    feature_settings,
    model_settings,
    run_settings,
    task_settings,
    training_settings,
)

ALL: list[type[Settings]] = [
    FeatureSettings,
    ModelSettings,
    AugmentationSettings,
    TaskSettings,
    TrainingSettings,
    RunSettings,
]
ANY_SETTINGS = st.one_of(
    feature_settings(), model_settings(), augmentation_settings(), task_settings(), training_settings(), run_settings()
)


@given(settings=ANY_SETTINGS)
def test_settings_come_back_from_json_as_they_went(settings: Settings) -> None:
    text = settings.to_json()

    assert type(settings).from_json(text) == settings
    assert type(settings).from_json(text.encode()) == settings
    assert type(settings).from_json(text).to_json() == text


@given(settings=ANY_SETTINGS)
def test_settings_come_back_from_dictionaries_pickles_and_copies(settings: Settings) -> None:
    again = [
        type(settings)(**settings.model_dump()),
        pickle.loads(pickle.dumps(settings)),
        copy.deepcopy(settings),
        settings.model_copy(),
        settings.changed(),
    ]

    assert again == [settings] * 5
    assert len({*again, settings}) == 1


@pytest.mark.parametrize("settings", ALL)
def test_an_empty_object_is_the_usual_settings(settings: type[Settings]) -> None:
    assert settings.from_json("{}") == settings()


@given(settings=feature_settings(max_frames=100))
def test_the_number_of_frames_is_how_many_fit_without_padding(settings: FeatureSettings) -> None:
    starts = range(0, settings.clip_length - settings.n_fft + 1, settings.hop_length)

    assert settings.n_frames == len(starts)


@given(settings=run_settings())
def test_the_steps_of_a_clip_are_the_stacks_that_its_frames_fill(settings: RunSettings) -> None:
    starts = range(0, settings.features.n_frames - settings.model.stack + 1, settings.model.stack)

    assert settings.n_steps == len(starts)


def test_what_follows_from_the_usual_settings_is_what_the_formulas_say() -> None:
    features = FeatureSettings()

    assert features.n_frames == 1 + (16_000 - 512) // 160 == 97
    assert features.clip_s == 1.0
    assert features.hop_s == 0.01
    assert RunSettings(model=ModelSettings(stack=2)).n_steps == 48
    assert RunSettings(model=ModelSettings(stack=3)).n_steps == 32
    assert FeatureSettings(sample_rate=8_000, clip_length=12_000, hop_length=80, f_max=4_000.0).clip_s == 1.5


@given(
    sample_rate=st.sampled_from(RATES),
    n_fft=st.sampled_from([64, 256, 512, 2_048]),
    n_mels=st.integers(4, 128),
    f_min=st.floats(0.0, 0.45),
    f_max=st.floats(0.05, 0.5),
)
@example(sample_rate=16_000, n_fft=512, n_mels=128, f_min=0.0, f_max=0.5)
@example(sample_rate=16_000, n_fft=512, n_mels=80, f_min=0.0, f_max=0.5)
@example(sample_rate=48_000, n_fft=512, n_mels=128, f_min=0.0, f_max=0.5)
def test_mel_bands_are_legal_where_librosa_leaves_none_empty(
    sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float
) -> None:
    shape: dict[str, Any] = {"sample_rate": sample_rate, "n_fft": n_fft, "n_mels": n_mels}
    band: dict[str, Any] = {"f_min": f_min * sample_rate, "f_max": f_max * sample_rate}
    if f_min >= f_max:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bank = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=band["f_min"], fmax=band["f_max"])

    if (bank.max(axis=1) > 0).all():
        FeatureSettings(**shape, **band, win_length=16, hop_length=16, n_mfcc=4)
    else:
        empty = int(np.argmin(bank.max(axis=1) > 0))
        with pytest.raises(SettingsError, match=rf"n_mels={n_mels} bands .* leave band {empty} without a bin"):
            FeatureSettings(**shape, **band, win_length=16, hop_length=16, n_mfcc=4)


@given(settings=feature_settings())
def test_the_edges_of_the_bands_are_librosas(settings: FeatureSettings) -> None:
    edges_hz = librosa.mel_frequencies(settings.n_mels + 2, fmin=settings.f_min, fmax=settings.f_max)

    np.testing.assert_allclose(settings.band_edges_hz, edges_hz, rtol=1e-9, atol=1e-6)


def test_no_augmentation_is_none_of_any_kind() -> None:
    off = AugmentationSettings.off()

    kinds = [name for name in AugmentationSettings.model_fields if name.endswith(("_probability", "_masks"))]
    assert len(kinds) == 10
    kinds += ["shift_ms", "tempo_range", "pitch_range", "colour_db"]
    assert {getattr(off, kind) for kind in kinds} == {0}
    assert off.renderings == 1, "the one as it was recorded"


WRONG: list[tuple[type[Settings], dict[str, Any], str]] = [
    (FeatureSettings, {"hop_length": 0}, "hop_length=0 must be at least 1 sample; 160 is usual"),
    (FeatureSettings, {"hop_length": -5}, "hop_length=-5 must be at least 1 sample; 160 is usual"),
    (FeatureSettings, {"n_fft": 16_384}, "n_fft=16384 must be at most 8192 samples; 512 is usual at 16,000 Hz"),
    (FeatureSettings, {"n_fft": 400}, "n_fft=400 must be a power of two (TFLite's FFT knows no other); 512 is usual"),
    (FeatureSettings, {"sample_rate": 0}, "sample_rate=0 must be at least 4000 Hz; 16000 is usual"),
    (FeatureSettings, {"hop_length": 160.0}, "hop_length=160.0 must be a whole number; 160 is usual"),
    (FeatureSettings, {"hop_length": "160"}, "hop_length='160' must be a whole number; 160 is usual"),
    (FeatureSettings, {"hop_length": True}, "hop_length=True must be a whole number; 160 is usual"),
    (FeatureSettings, {"hop_length": None}, "hop_length=None must be a whole number; 160 is usual"),
    (FeatureSettings, {"f_min": "20"}, "f_min='20' must be a number; 20.0 is usual"),
    (FeatureSettings, {"f_min": math.nan}, "f_min=nan must be a finite number; 20.0 is usual"),
    (
        FeatureSettings,
        {"f_max": 0.0},
        "f_max=0.0 must be above 0 Hz; 7600.0 is usual for full-band sound, 4000.0 for telephone sound",
    ),
    (
        FeatureSettings,
        {"f_max": 8_001.0},
        "f_max=8001.0 must be at most half the sample rate (8000.0); 7600.0 is usual",
    ),
    (FeatureSettings, {"f_min": 7_600.0}, "f_min=7600.0 must be below f_max=7600.0; 20.0 is usual"),
    (FeatureSettings, {"win_length": 513}, "win_length=513 must be at most n_fft=512; 480 of 512 is usual"),
    (FeatureSettings, {"n_mfcc": 41}, "n_mfcc=41 must be at most n_mels=40; take fewer coefficients"),
    (FeatureSettings, {"clip_length": 300}, "clip_length=300 must be at least n_fft=512; one second is usual"),
    (
        FeatureSettings,
        {"n_fft": 256, "win_length": 240, "n_mels": 128},
        "n_mels=128 bands from 20.0 to 7600.0 Hz leave band 2 without a bin of n_fft=256 at 16000 Hz; "
        "take fewer bands or a longer n_fft",
    ),
    (FeatureSettings, {"hop_lenght": 80}, "'hop_lenght' is not a setting of FeatureSettings; did you mean hop_length?"),
    (ModelSettings, {"cell": ""}, "cell='' must not be empty; 'lstm', 'gru' and 'rnn' are built in"),
    (ModelSettings, {"cell": 3}, "cell=3 must be a text; 'lstm', 'gru' and 'rnn' are built in"),
    (ModelSettings, {"dropout": 1.0}, "dropout=1.0 must be below 1; 0.2 is usual"),
    (
        ModelSettings,
        {"precision": "float64"},
        "precision='float64' must be 'float32', 'bfloat16_products', 'mixed_float16' or 'mixed_bfloat16'; "
        "'float32' is usual",
    ),
    (
        ModelSettings,
        {"color": "red"},
        "'color' is not a setting of ModelSettings; there are cell, units, layers, stack, dropout, both_ways, "
        "precision",
    ),
    (AugmentationSettings, {"shift_ms": 2e3}, "shift_ms=2000.0 must be at most 1000 ms; 150.0 is usual"),
    (AugmentationSettings, {"room_probability": 1.5}, "room_probability=1.5 must be at most 1; 0.3 is usual"),
    (AugmentationSettings, {"renderings": 0}, "renderings=0 must be at least 1; 4 is usual"),
    (AugmentationSettings, {"pitch_range": 0.5}, "pitch_range=0.5 must be below 0.5; 0.06 is usual"),
    (AugmentationSettings, {"colour_db": -1.0}, "colour_db=-1.0 must be at least 0 dB; 3.0 is usual"),
    (
        AugmentationSettings,
        {"snr_low_db": 31.0},
        "snr_low_db=31.0 must be at most snr_high_db=30.0; -5.0 to 30.0 is usual",
    ),
    (
        TaskSettings,
        {"labels": "13"},
        "labels='13' must be '12', '35', 'all' or a list of words; ('yes', 'no') is an example",
    ),
    (
        TaskSettings,
        {"labels": ("a", 1)},
        "labels=('a', 1) must be '12', '35', 'all' or a list of words; ('yes', 'no') is an example",
    ),
    (
        TaskSettings,
        {"labels": {"a"}},
        "labels={'a'} must be '12', '35', 'all' or a list of words; ('yes', 'no') is an example",
    ),
    (TaskSettings, {"labels": ()}, "labels=() must be one or more different words; ('yes', 'no') is an example"),
    (
        TaskSettings,
        {"labels": ["a", "a"]},
        "labels=('a', 'a') must be one or more different words; ('yes', 'no') is an example",
    ),
    (
        TaskSettings,
        {"labels": ("_silence_",)},
        "label '_silence_' must be 1 to 64 printable characters, without '/', without blanks at its ends and without "
        "'_' or '.' in front; rename it",
    ),
    (TaskSettings, {"unknown_share": -0.1}, "unknown_share=-0.1 must be at least 0; 0.1 is usual"),
    (
        TaskSettings,
        {"silence_high_db": -100.0},
        "silence_low_db=-90.0 must be at most silence_high_db=-100.0; -90.0 to -8.0 dBFS is usual",
    ),
    (TaskSettings, {"silence_low_db": 1.0}, "silence_low_db=1.0 must be at most 0 dBFS; -90.0 is usual"),
    (TrainingSettings, {"seed": 2**32}, "seed=4294967296 must be below 4294967296; 1 is usual"),
    (TrainingSettings, {"learning_rate": 0.0}, "learning_rate=0.0 must be above 0; 0.002 is usual"),
    (RunSettings, {"features": 5}, "features=5 must be settings or a dictionary of them; leave it out for the usual"),
    (RunSettings, {"features": {"hop_length": 0}}, "hop_length=0 must be at least 1 sample; 160 is usual"),
    (RunSettings, {"task": {"labels": "13"}}, "labels='13' must be '12', '35', 'all' or a list of words; ('yes', "),
    (
        RunSettings,
        {"features": {"clip_length": 600}, "model": {"stack": 3}},
        "stack=3 must be at most the number of frames of a clip (1); stack fewer or take longer clips",
    ),
]


@pytest.mark.parametrize(("settings", "values", "message"), WRONG)
def test_an_error_is_one_line_with_value_rule_and_remedy(
    settings: type[Settings], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError) as found:
        settings(**values)

    assert str(found.value).startswith(message)
    assert "\n" not in str(found.value)
    assert found.value.__cause__ is None


@pytest.mark.parametrize(("settings", "values", "message"), [case for case in WRONG if "{'a'}" not in case[2]])
def test_the_same_error_comes_from_json(settings: type[Settings], values: dict[str, Any], message: str) -> None:
    text = json.dumps(values)
    if "NaN" in text:
        message = "these settings are not JSON (NaN is not a number); mend the text"

    with pytest.raises(SettingsError) as found:
        settings.from_json(text)

    assert str(found.value).startswith(message.replace("('a', 1)", "['a', 1]"))


@pytest.mark.parametrize(("settings", "values", "message"), [case for case in WRONG if "lenght" not in case[2]])
def test_the_same_error_comes_from_a_change(settings: type[Settings], values: dict[str, Any], message: str) -> None:
    for change in (settings().changed, lambda **changes: settings().model_copy(update=changes)):
        with pytest.raises(SettingsError) as found:
            change(**values)

        assert str(found.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "these settings are not JSON (Expecting value: line 1 column 1 (char 0)); mend the text"),
        ('{"epochs": 1', "these settings are not JSON (Expecting ',' delimiter: line 1 column 13 (char 12))"),
        (b"\xff\xfe\xfd", "these settings are not JSON ('utf-16-le' codec can't decode"),
        ('{"epochs": Infinity}', "these settings are not JSON (Infinity is not a number); mend the text"),
        ('{"epochs": 1, "epochs": 2}', "these settings are not JSON ('epochs' stands twice); mend the text"),
        ('{"epochs": ' + "9" * 5_000 + "}", "these settings are not JSON (Exceeds the limit"),
        ("[" * 100_000, "these settings are not JSON (maximum recursion depth exceeded"),
        ("[1, 2]", "[1, 2] must be a JSON object with the settings of TrainingSettings"),
        ("null", "None must be a JSON object with the settings of TrainingSettings"),
        ('{"clip_norm": 1e999}', "clip_norm=inf must be a finite number; 1.0 is usual"),
        ('{"": 1}', "'' is not a setting of TrainingSettings; there are epochs, "),
    ],
)
def test_text_that_is_no_settings_is_refused_in_one_line(text: str | bytes, message: str) -> None:
    with pytest.raises(SettingsError) as found:
        TrainingSettings.from_json(text)

    assert str(found.value).startswith(message)
    assert "\n" not in str(found.value)


@given(settings=run_settings(), name=st.text(max_size=20), data=st.data())
def test_an_unknown_key_is_refused_at_any_depth(settings: RunSettings, name: str, data: st.DataObject) -> None:
    values = json.loads(settings.to_json())
    place = data.draw(st.sampled_from([values, *values.values()]))
    if name in place:
        return
    place[name] = 1

    with pytest.raises(SettingsError, match="is not a setting of"):
        RunSettings.from_json(json.dumps(values))


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    data=st.data(),
)
def test_any_value_is_taken_or_refused_in_one_short_line(value: Any, data: st.DataObject) -> None:
    settings = data.draw(st.sampled_from(ALL))
    name = data.draw(st.sampled_from(sorted(settings.model_fields)) | st.text(max_size=1_000))

    try:
        taken = settings(**{name: value})
    except SettingsError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 400
        assert ";" in str(error)
    else:
        assert settings.from_json(taken.to_json()) == taken


def test_a_long_list_of_settings_is_cut_between_names() -> None:
    unknown: dict[str, Any] = {"": 1}

    with pytest.raises(SettingsError) as found:
        AugmentationSettings(**unknown)

    names = str(found.value).removesuffix(" …").split("there are ")[1].removesuffix(",").split(", ")
    assert str(found.value).endswith(", …")
    assert names == list(AugmentationSettings.model_fields)[: len(names)]
    assert len(names) > 10


def test_a_long_value_is_cut() -> None:
    long: Any = "x" * 10_000
    unknown: dict[str, Any] = {"y" * 10_000: 1}
    with pytest.raises(SettingsError, match=r"hop_length='x{78}… must be a whole number"):
        FeatureSettings(hop_length=long)
    with pytest.raises(SettingsError, match=r"^'y{78}… is not a setting"):
        FeatureSettings(**unknown)
    with pytest.raises(SettingsError, match="must be one or more different words") as found:
        TaskSettings(labels=("z" * 60,) * 1_000)
    assert len(str(found.value)) < 200


def test_an_array_is_shown_on_one_line() -> None:
    array: Any = np.zeros((2, 2))
    with pytest.raises(
        SettingsError, match=r"hop_length=array\(\[\[0\., 0\.\], \[0\., 0\.\]\]\) must be a whole number"
    ):
        FeatureSettings(hop_length=array)


def test_settings_can_not_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        FeatureSettings().__setattr__("hop_length", 80)


@pytest.mark.parametrize(
    ("word", "legal"),
    [
        ("yes", True),
        ("zoom in", True),
        ("größer", True),
        ("はい", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("", False),
        (" ", False),
        ("yes ", False),
        ("a/b", False),
        ("_silence_", False),
        (".hidden", False),
        ("a\nb", False),
        ("\x1b[31m", False),
        ("\ud800", False),
    ],
)
def test_a_label_is_a_name_that_can_be_printed_and_stored(word: str, legal: bool) -> None:
    assert is_label(word) == legal


def test_labels_may_be_given_as_a_list_and_are_kept_in_order() -> None:
    words: Any = ["b", "a"]
    assert TaskSettings(labels=words).labels == ("b", "a")


def test_settings_are_read_from_a_file_that_was_written(tmp_path: Path) -> None:
    settings = RunSettings(task=TaskSettings(labels=("größer", "はい")))
    (tmp_path / "run.json").write_text(settings.to_json(), encoding="utf-8")

    assert RunSettings.from_json((tmp_path / "run.json").read_bytes()) == settings
