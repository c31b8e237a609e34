"""The real builder of tensorflow-datasets, on a small archive of the official layout, served on loopback."""

from __future__ import annotations

import hashlib
import re
import resource
import shutil
import socket
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from speech_rnn.audio import to_mono
from speech_rnn.data.folder import FolderSource
from speech_rnn.data.tfds_source import RECORDED_RATE, TfdsSource, join_pieces
from speech_rnn.data.tfrecord import integers
from speech_rnn.errors import DataError

COMMANDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes")
OTHERS = ("bed", "cat")
N_SPEAKERS = 12
NOISES = {"doing_the_dishes": 44_000, "running_tap": 37_000}


def published_part(file_name: str) -> str:
    """``which_set`` of the data set's README, as it stands there."""
    hash_name = re.sub(r"_nohash_.*$", "", file_name)
    hashed = hashlib.sha1(hash_name.encode("utf-8")).hexdigest()
    percentage = (int(hashed, 16) % (2**27 - 1 + 1)) * (100.0 / (2**27 - 1))
    if percentage < 10.0:
        return "validation"
    return "testing" if percentage < 20.0 else "training"


def speakers() -> list[str]:
    """Eight hexadecimal digits each, some of them in every part."""
    found: dict[str, list[str]] = {"training": [], "validation": [], "testing": []}
    for number in range(400):
        speaker = hashlib.sha256(str(number).encode()).hexdigest()[:8]
        found[published_part(f"{speaker}_nohash_0.wav")].append(speaker)
    return [*found["training"][: N_SPEAKERS - 6], *found["validation"][:3], *found["testing"][:3]]


def write(path: Path, samples: NDArray[np.int16]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, 16_000, subtype="PCM_16")


def pack(folder: Path, archive: Path) -> None:
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                tar.add(path, f"./{path.relative_to(folder)}")


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``main/`` and its archive, ``test/`` and its archive."""
    root = tmp_path_factory.mktemp("official")
    rng = np.random.default_rng(5)
    lists: dict[str, list[str]] = {"validation": [], "testing": []}
    for word in (*COMMANDS, *OTHERS):
        for number, speaker in enumerate(speakers()):
            name = f"{speaker}_nohash_{number % 2}.wav"
            samples = rng.integers(-9_000, 9_000, rng.integers(2_000, 4_000), np.int16)
            write(root / "main" / word / name, samples)
            part = published_part(name)
            if part != "training":
                lists[part].append(f"{word}/{name}")
            if part == "testing":
                folder = word if word in COMMANDS else "_unknown_"
                unique = name if word in COMMANDS else f"{word}_{name}"
                write(root / "test" / folder / unique, samples)
    for name, length in NOISES.items():
        write(root / "main" / "_background_noise_" / f"{name}.wav", rng.integers(-20_000, 20_000, length, np.int16))
    for number in range(3):
        write(root / "test" / "_silence_" / f"{number}.wav", rng.integers(-99, 99, 16_000, np.int16))
    pack(root / "test", root / "test.tar.gz")
    for part, names in lists.items():
        (root / "main" / f"{part}_list.txt").write_text("\n".join(names) + "\n")
    pack(root / "main", root / "main.tar.gz")
    for part in lists:
        (root / "main" / f"{part}_list.txt").unlink()
    return root


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@contextmanager
def builder_of(root: Path, address: str, *, sha256: str | None = None, size: int | None = None) -> Iterator[None]:
    """Let the real builder fetch from ``address`` what it else fetches from its authors, checksums checked alike."""
    from tensorflow_datasets.core.download import checksums
    from tensorflow_datasets.datasets.speech_commands import speech_commands_dataset_builder as module

    infos = {}
    for name in ("main", "test"):
        archive = root / f"{name}.tar.gz"
        digest = sha256 or hashlib.sha256(archive.read_bytes()).hexdigest()
        infos[f"{address}/{archive.name}"] = checksums.UrlInfo(
            size=size or archive.stat().st_size, checksum=digest, filename=archive.name
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_DOWNLOAD_PATH", f"{address}/main.tar.gz")
        patch.setattr(module, "_TEST_DOWNLOAD_PATH_", f"{address}/test.tar.gz")
        patch.setattr(module.Builder, "url_infos", infos)
        yield


@pytest.fixture(scope="module")
def prepared(official: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the builder has written the records."""
    data_dir = tmp_path_factory.mktemp("tfds")
    with served(official) as address, builder_of(official, address):
        assert len(TfdsSource(data_dir).clips) == (len(COMMANDS) + len(OTHERS)) * N_SPEAKERS
    return data_dir


def contents(source: TfdsSource | FolderSource) -> dict[tuple[str, str], set[bytes]]:
    """Decoded recordings by part and word; unknown words are one, as in tensorflow-datasets."""
    found: dict[tuple[str, str], set[bytes]] = {}
    for clip, waveform in zip(source.clips, source.waveforms(16_000), strict=True):
        word = clip.word if clip.word in COMMANDS else "_unknown_"
        found.setdefault((clip.part, word), set()).add(waveform.tobytes())
    return found


def test_words_and_parts_are_those_of_the_folder_split_by_the_published_rule(official: Path, prepared: Path) -> None:
    here = contents(TfdsSource(prepared))

    assert here == contents(FolderSource(official / "main"))
    assert sum(map(len, here.values())) == (len(COMMANDS) + len(OTHERS)) * N_SPEAKERS
    assert {part for part, _ in here} == {"training", "validation", "testing"}


def test_names_are_unique_and_speakers_unknown(prepared: Path) -> None:
    clips = TfdsSource(prepared).clips

    assert len({clip.name for clip in clips}) == len(clips)
    assert {clip.speaker for clip in clips} == {""}
    assert not any(clip.word == "_silence_" for clip in clips)


def test_background_noise_is_whole_again_and_without_what_the_test_holds(official: Path, prepared: Path) -> None:
    source = TfdsSource(prepared)

    noises = list(source.noise_waveforms(16_000))

    assert len(source.noises) == len(noises) == len(NOISES)
    for name, noise in zip(sorted(NOISES), noises, strict=True):
        recorded, _ = soundfile.read(official / "main" / "_background_noise_" / f"{name}.wav", dtype="float32")
        # The builder drops what is behind the last whole piece.
        assert 0 <= len(recorded) - len(noise) <= 8_000
        np.testing.assert_array_equal(noise, recorded[: len(noise)])


def test_recordings_come_at_the_rate_asked_for(prepared: Path) -> None:
    source = TfdsSource(prepared)

    at_16, at_8 = next(source.waveforms(16_000)), next(source.waveforms(8_000))

    assert at_8.dtype == np.float32
    assert abs(len(at_8) - len(at_16) / 2) <= 1


def test_a_second_source_on_prepared_records_needs_no_network_and_agrees(prepared: Path) -> None:
    first, second = TfdsSource(prepared), TfdsSource(prepared)

    assert first.clips == second.clips
    assert first.digest() == second.digest()
    assert "speech_commands/0.0.3" in first.origin
    assert first.title == f"tfds:{prepared}"


def test_records_in_many_files_come_in_one_order(official: Path, prepared: Path, tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(try_download_gcs=False, num_shards=5)
    with served(official) as address, builder_of(official, address):
        tfds.builder("speech_commands", data_dir=tmp_path).download_and_prepare(download_config=config)

    assert len(list(tmp_path.rglob("*train.tfrecord-*-of-00005"))) == 5
    assert contents(TfdsSource(tmp_path)) == contents(TfdsSource(prepared))


def test_each_clip_can_be_read_from_its_record_alone(prepared: Path) -> None:
    source = TfdsSource(prepared)

    for record, waveform in zip(source.records, source.waveforms(8_000), strict=True):
        alone = integers(record.path, record.start, "audio").astype(np.int16)
        np.testing.assert_array_equal(to_mono(alone, RECORDED_RATE, 8_000), waveform)


def test_digest_changes_with_one_sample(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared / "speech_commands", tmp_path / "speech_commands")
    shard = next(tmp_path.rglob("*train.tfrecord*"))
    same = TfdsSource(tmp_path).digest()

    import tensorflow as tf

    records = [record.numpy() for record in tf.data.TFRecordDataset(str(shard))]
    records[3] = records[3][:-40] + bytes([records[3][-40] ^ 1]) + records[3][-39:]
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for record in records:
            writer.write(record)

    assert same == TfdsSource(prepared).digest()
    assert TfdsSource(tmp_path).digest() != same


def test_cut_records_are_refused_in_one_line(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared / "speech_commands", tmp_path / "speech_commands")
    shard = next(tmp_path.rglob("*train.tfrecord*"))
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])

    with pytest.raises(DataError, match=r"cut short at byte \d+; delete it") as digest:
        TfdsSource(tmp_path).digest()
    with pytest.raises(DataError, match=r"can't be used: DataLossError: .*--data FOLDER") as waveforms:
        list(TfdsSource(tmp_path).waveforms(16_000))

    assert "\n" not in f"{digest.value}{waveforms.value}"


def test_no_network_is_said_at_once_with_the_way_out(official: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"http://127.0.0.1:{server.getsockname()[1]}"

    with (
        builder_of(official, closed),
        pytest.raises(DataError, match=r"can't be used: ConnectionError: .*refused.*--data FOLDER") as error,
    ):
        _ = TfdsSource(tmp_path).clips

    assert "\n" not in str(error.value)


def test_an_archive_with_another_digest_is_refused(official: Path, tmp_path: Path) -> None:
    with (
        served(official) as address,
        builder_of(official, address, sha256="0" * 64),
        pytest.raises(DataError, match=r"NonMatchingChecksumError: .*--data FOLDER"),
    ):
        _ = TfdsSource(tmp_path).clips

    assert not list(tmp_path.rglob("*.tfrecord*"))


def test_too_small_a_disk_is_said_before_anything_is_fetched(official: Path, tmp_path: Path) -> None:
    with (
        builder_of(official, "http://127.0.0.1:9", size=10**15),
        pytest.raises(DataError, match=r"needs 10000000\.0 GB of disk .* GB are free; .*--data tfds:DIR"),
    ):
        _ = TfdsSource(tmp_path).clips

    assert not list(tmp_path.rglob("*.tar.gz*"))


def test_a_disk_that_fills_up_is_said_in_one_line(official: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with (
            served(official) as address,
            builder_of(official, address),
            pytest.raises(DataError, match=r"File too large.*--data FOLDER") as error,
        ):
            _ = TfdsSource(tmp_path).clips
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("*.tfrecord*"))


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no folder")

    with pytest.raises(DataError, match=r"notes\.txt must name a folder"):
        TfdsSource(tmp_path / "notes.txt").digest()


def test_nothing_is_printed(official: Path, prepared: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with served(official) as address, builder_of(official, address):
        _ = TfdsSource(tmp_path).clips

    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"tfds: downloading speech_commands into .*; this takes a while\n", err)


def test_pieces_in_any_order_become_the_recordings_they_were_cut_from() -> None:
    rng = np.random.default_rng(0)
    recordings = [rng.integers(-9, 9, n * 8_000, np.int16) for n in (2, 5, 9)]
    cut = [
        recording[start : start + 16_000]
        for recording in recordings
        for start in range(0, len(recording) - 8_000, 8_000)
    ]

    joined = join_pieces([cut[index] for index in rng.permutation(len(cut))])

    assert sorted(map(len, joined)) == [16_000, 40_000, 72_000]
    assert {recording.tobytes() for recording in joined} == {recording.tobytes() for recording in recordings}


def test_pieces_that_fit_more_than_one_other_are_left_alone() -> None:
    rng = np.random.default_rng(0)
    a, b, c, d = (rng.integers(-9, 9, 8_000, np.int16) for _ in range(4))
    two_ways_on = [np.concatenate(halves) for halves in ((a, b), (b, c), (b, d))]
    two_ways_here = [np.concatenate(halves) for halves in ((a, c), (b, c), (c, d))]
    silence = [np.zeros(16_000, np.int16)] * 2
    loop = [np.tile(a, 2)]
    short = [a[:5_000]]

    for pieces in (two_ways_on, two_ways_here, silence, loop, short):
        assert [piece.tobytes() for piece in join_pieces(pieces)] == [piece.tobytes() for piece in pieces]
