from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech_rnn.card import (
    CARD_VERSION,
    Agreement,
    Card,
    DataSource,
    Figure,
    FileEntry,
    TrainingSummary,
    clipped,
    read_checked,
)
from speech_rnn.config import FeatureSettings, ModelSettings, TrainingSettings
from speech_rnn.errors import ModelError

labels = st.lists(
    st.text(min_size=1, max_size=64).filter(lambda text: text.isprintable() and text == text.strip()),
    min_size=1,
    max_size=20,
    unique=True,
).map(tuple)
shares = st.floats(0.0, 1.0)


def card(**values: Any) -> Card:
    full: dict[str, Any] = {
        "name": "gru-12",
        "labels": ("_silence_", "_unknown_", "yes", "no"),
        "features": FeatureSettings(),
        "model": ModelSettings(),
        "parameters": 444_000,
        "states": (8, 8),
        "macs_per_second": 2.2e7,
        "synthetic": True,
        "data": (DataSource(title="corpus", origin="espeak-ng", digest="ab" * 32, synthetic=True),),
        "training": TrainingSummary(
            weights="best", epochs=3, best_epoch=2, clips=1_000, settings=TrainingSettings(epochs=3)
        ),
        "figures": (Figure(name="accuracy", value=0.9, low=0.88, high=0.92, n=500, data="corpus", synthetic=True),),
        "files": {
            "saved_model/variables/variables.data-00000-of-00001": FileEntry(
                sha256="cd" * 32,
                bytes=10,
                form="saved_model",
                max_error=1e-7,
                bound=1e-4,
                probes={"chirp": Agreement(error=1e-5, bound=1e-2)},
            )
        },
        "made_with": {"keras": "3.15.1"},
    }
    return Card.make(**{**full, **values})


def changed(**values: Any) -> str:
    return json.dumps({**json.loads(card().to_json()), **values})


@given(labels=labels, units=st.integers(1, 512), value=shares, floor=st.floats(1e-10, 1e-2), synthetic=st.booleans())
def test_a_card_comes_back_from_json_as_it_went(
    labels: tuple[str, ...], units: int, value: float, floor: float, synthetic: bool
) -> None:
    made = card(
        labels=labels,
        model=ModelSettings(units=units),
        features=FeatureSettings(power_floor=floor),
        figures=(Figure(name="accuracy", value=value, synthetic=synthetic),),
        synthetic=synthetic,
    )

    assert Card.from_json(made.to_json()) == made
    assert Card.from_json(made.to_json().encode()) == made


def test_a_card_comes_back_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text(card().to_json())

    assert Card.read(tmp_path / "card.json") == card()


def test_a_card_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        card().name = "other"


def test_the_json_holds_plain_values_that_other_programs_can_read() -> None:
    values = json.loads(card().to_json())

    assert values["version"] == CARD_VERSION == 1
    assert values["labels"] == ["_silence_", "_unknown_", "yes", "no"]
    assert values["features"]["sample_rate"] == 16_000
    assert values["model"]["cell"] == "gru"
    assert (values["scores"], values["clip"]) == ("softmax", "middle")


@pytest.mark.parametrize("version", [2, 0, "1", None, True, 1.5, [1]])
def test_another_version_is_named_with_the_one_known_and_the_remedy(version: object, tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(changed(version=version))

    with pytest.raises(ModelError) as caught:
        Card.read(path)

    message = str(caught.value)
    assert str(path) in message
    assert f"version {version!r}" in message
    assert "reads version 1" in message
    assert "export the model again" in message
    assert "\n" not in message


def test_a_card_of_a_later_form_is_refused_for_its_version_before_its_keys() -> None:
    with pytest.raises(ModelError, match="version 2"):
        Card.from_json(json.dumps({"version": 2, "all": "new"}))


@pytest.mark.parametrize(
    ("values", "finding"),
    [
        ({"labels": []}, r"labels=.* must have at least 1 item"),
        ({"labels": ["yes", "yes"]}, "'yes' stands twice"),
        ({"labels": ["x" * 65]}, r"labels\.0=.* must have at most 64 characters"),
        ({"labels": [""]}, r"labels\.0='' must have at least 1 character"),
        ({"labels": ["yes\n"]}, r"'yes\\n' must be printable"),
        ({"labels": [" yes"]}, "' yes' must be printable, without blanks"),
        ({"labels": ["\u202eon"]}, r"'\\u202eon' must be printable"),
        ({"labels": ["\x1b[31mon"]}, r"'\\x1b\[31mon' must be printable"),
        ({"labels": [1]}, r"labels\.0=1 must be a valid string"),
        ({"name": "../up"}, r"name: '\.\./up' must be 1 to 64 letters"),
        ({"name": "a" * 65}, "name: 'aaa.* must be 1 to 64 letters"),
        ({"name": "yes\n"}, "must be 1 to 64 letters"),
        ({"files": {"../clip.tflite": {}}}, r"files\.\.\./clip\.tflite.* must match"),
        ({"files": {"/etc/passwd": {}}}, "must match"),
        ({"files": {"a/../b": {}}}, "must match"),
        ({"files": {"clip.tflite": {"sha256": "0", "bytes": 1, "form": "clip"}}}, "sha256='0' must match"),
        ({"parameters": 0}, "parameters=0 must be greater than or equal to 1"),
        ({"parameters": 1.0}, r"parameters=1\.0 must be a valid integer"),
        ({"macs_per_second": float("nan")}, "macs_per_second=nan must be a finite number"),
        ({"unheard": 1}, "unheard is not known"),
        ({"clip": "start"}, "clip='start' must be 'middle'"),
        ({"features": {"n_fft": 500}}, "n_fft=500 must be a power of two"),
        ({"model": {"units": 0}}, "units=0 must be at least 1"),
        ({"synthetic": "no"}, "synthetic='no' must be a valid boolean"),
        ({"training": {}}, "training.weights is missing"),
        ({"labels": [[["deep"] * 1000] * 100]}, r"labels\.0=.* must be a valid string"),
    ],
)
def test_what_is_not_allowed_is_named_on_one_short_line(values: dict[str, Any], finding: str) -> None:
    with pytest.raises(ModelError, match=finding) as caught:
        Card.from_json(changed(**values), "here/card.json")

    message = str(caught.value)
    assert message.startswith("here/card.json")
    assert message.isprintable()
    assert len(message) < 400


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "1", "null", "{}", '"version"', "\x00", "[" * 100_000, b"\xff\xfe{}", "\ud800"]
)
def test_what_is_no_card_is_called_so(text: str | bytes) -> None:
    with pytest.raises(ModelError, match=r"is not (JSON|a card).*export the model again"):
        Card.from_json(text)


def test_a_card_larger_than_any_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(" " * 1_000_001)

    with pytest.raises(ModelError, match="over 1,000,000 bytes"):
        Card.read(path)


def test_a_missing_card_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"card\.json is missing.*export the model again"):
        Card.read(tmp_path / "card.json")


def test_the_card_inside_a_file_has_everything_but_the_digests() -> None:
    inside = card().without_files()

    assert not inside.files
    assert inside.with_files(card().files) == card()


def test_the_card_of_a_board_has_no_figures_and_no_blanks() -> None:
    text = card().to_board_json()
    inside = Card.from_json(text)

    assert len(text) < len(card().without_files().to_json())
    assert not inside.files and not inside.figures
    assert inside.model_copy(update={"files": card().files, "figures": card().figures}) == card()


def with_file(folder: Path, content: bytes) -> Card:
    (folder / "clip.tflite").write_bytes(content)
    entry = FileEntry(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content), form="clip")
    return card(files={"clip.tflite": entry})


def test_a_file_that_matches_its_card_is_read(tmp_path: Path) -> None:
    assert read_checked(tmp_path, "clip.tflite", with_file(tmp_path, b"content")) == b"content"


def test_a_file_cut_in_half_is_refused_for_its_size(tmp_path: Path) -> None:
    made = with_file(tmp_path, b"content!")
    (tmp_path / "clip.tflite").write_bytes(b"cont")

    with pytest.raises(ModelError, match=r"clip\.tflite has 4 bytes, its card says 8; copy it again"):
        read_checked(tmp_path, "clip.tflite", made)


def test_a_longer_file_is_refused_for_its_size(tmp_path: Path) -> None:
    made = with_file(tmp_path, b"content!")
    (tmp_path / "clip.tflite").write_bytes(b"content!" * 3)

    with pytest.raises(ModelError, match="has 24 bytes, its card says 8"):
        read_checked(tmp_path, "clip.tflite", made)


def test_a_flipped_bit_is_refused_for_its_digest(tmp_path: Path) -> None:
    made = with_file(tmp_path, b"content!")
    (tmp_path / "clip.tflite").write_bytes(b"content ")

    with pytest.raises(ModelError, match=r"SHA-256 [0-9a-f]{12}…, its card says .*changed or damaged"):
        read_checked(tmp_path, "clip.tflite", made)


def test_a_missing_file_and_an_unlisted_one_are_told_apart(tmp_path: Path) -> None:
    made = with_file(tmp_path, b"content!")
    (tmp_path / "clip.tflite").unlink()

    with pytest.raises(ModelError, match="is missing, though its card lists it"):
        read_checked(tmp_path, "clip.tflite", made)
    with pytest.raises(ModelError, match=r"lists no 'stream\.tflite' \(files: clip\.tflite\)"):
        read_checked(tmp_path, "stream.tflite", made)


@given(st.text(max_size=500))
def test_a_string_from_outside_stands_in_a_message_printable_and_short(text: str) -> None:
    assert clipped(text).isprintable()
    assert len(clipped(text)) <= 60


def test_the_card_loads_no_heavy_library() -> None:
    code = "import speech_rnn.card, sys; print(sorted({'numpy', 'tensorflow', 'keras', 'librosa'} & set(sys.modules)))"

    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_a_card_in_another_encoding_is_refused() -> None:
    with pytest.raises(ModelError, match="Invalid JSON"):
        Card.from_json(card().to_json().encode("utf-16"))
