"""Training on a GPU, against the package whose models it trains; what needs PyTorch is skipped without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.gpu.outcome import Outcome
from benchmarks.gpu.pack import coded
from benchmarks.gpu.plan import CELLS, Bending, LearnerPlan, PhasePlan, Plan
from benchmarks.gpu.spectrograms import cosines, encode
from benchmarks.gpu.unpack import record_of, settings_of, write_run
from speech_rnn import features
from speech_rnn.config import AugmentationSettings, FeatureSettings, ModelSettings, TaskSettings
from speech_rnn.data.augmentation import Bends, NoiseFrames, band_widths, bend, mask, splice
from speech_rnn.data.augmentation import colours as colours_of_package
from speech_rnn.data.clips import SourceRecord
from speech_rnn.data.noise import NoiseBank
from speech_rnn.draws import generators
from speech_rnn.models import build_classifier
from speech_rnn.runs import load_run

PLANS = sorted((Path(__file__).resolve().parent.parent / "benchmarks" / "gpu" / "plans").glob("*.json"))
FEATURES = FeatureSettings(f_max=4_000.0)
N_FRAMES, N_BANDS = FEATURES.n_frames, FEATURES.n_mels
FLOOR_DB = -80.0
SOURCE = SourceRecord(name="speech_commands", origin="a test", digest="0" * 64, synthetic=False)
LABELS = ("_silence_", "_unknown_", "yes", "no")

Floats = NDArray[np.float32]


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture
def bending(torch: Any) -> ModuleType:
    from benchmarks.gpu import bending

    return bending


@pytest.fixture
def networks(torch: Any) -> ModuleType:
    from benchmarks.gpu import networks

    return networks


@pytest.fixture
def bundle(torch: Any) -> Any:
    """Four words, of which two are wanted; 60 own clips and 20 of another language."""
    from benchmarks.gpu.bundle import Bundle, Noise, Validation

    log_mel, word = torch.tensor(spoken(80)).half(), torch.arange(80) % 4
    word[60:] = 4
    label = torch.tensor([1, 1, 3, 2, 1])[word]
    return Bundle(
        labels=LABELS,
        words=("bed", "cat", "no", "yes"),
        clips=log_mel,
        rendered=log_mel[:60] - 3,
        word=word,
        label=label,
        is_true=torch.arange(80) < 20,
        noise=Noise(
            frames=torch.full((500, N_BANDS), -40.0),
            level=torch.full((500,), -20.0),
            starts=torch.tensor([0, 200]),
            lengths=torch.tensor([200, 300]),
            recorded=torch.tensor([0]),
            generated=torch.tensor([1]),
            generated_share=0.25,
        ),
        cosines=torch.eye(N_BANDS),
        edges_hz=torch.tensor(FEATURES.band_edges_hz, dtype=torch.float64),
        validation=Validation(log_mel.float(), label, torch.arange(80) < 20),
    )


def smooth(n_clips: int, seed: int = 1) -> NDArray[np.float16]:
    """Spectrograms of few coefficients, as sound has them, and some noise."""
    rng = np.random.default_rng(seed)
    coefficients = np.zeros((n_clips, 20, 12))
    coefficients[:, :5, :4] = rng.normal(scale=30.0, size=(n_clips, 5, 4))
    wide = cosines(20).T @ coefficients @ cosines(12) + rng.normal(scale=2.0, size=coefficients.shape)
    return wide.astype(np.float16)


def spoken(n_clips: int, seed: int = 1) -> Floats:
    """Log-mels, dB, of sounds that rise and fall within digital silence."""
    rng = np.random.default_rng(seed)
    frame = np.arange(N_FRAMES)[np.newaxis, :, np.newaxis]
    middle, width = rng.uniform(35, 60, (n_clips, 1, 1)), rng.uniform(10, 25, (n_clips, 1, 1))
    sound = -25 + rng.normal(scale=6.0, size=(n_clips, N_FRAMES, N_BANDS))
    return np.where(np.abs(frame - middle) < width, sound, FLOOR_DB).astype(np.float32)


def untouched(n: int, **changed: NDArray[Any]) -> Bends:
    """Nothing happens to ``n`` clips, but for what is given."""
    nothing: dict[str, Any] = {
        "rendering": np.zeros(n, np.int64),
        "tempo": np.ones(n, np.float32),
        "shift": np.zeros(n, np.int64),
        "pitch": np.ones(n, np.float32),
        "neighbour": np.full(n, np.nan, np.float32),
        "neighbour_shift": np.zeros(n, np.int64),
        "neighbour_db": np.zeros(n, np.float32),
        "gain_db": np.zeros(n, np.float32),
        "colour": np.zeros((n, 3), np.float32),
        "snr_db": np.full(n, np.nan, np.float32),
        "noise": np.zeros((n, 3)),
        "noise_colour": np.zeros((n, 3), np.float32),
    }
    return Bends(**{**nothing, **changed})


def nothing_but(**changed: Any) -> Bending:
    names = {one.name for one in fields(Bending)} - {"silence_low_db", "silence_high_db"}
    off: dict[str, Any] = dict.fromkeys(names, 0)
    return Bending(**{**off, **changed})


def bent_by_package(log_mel: Floats, **changed: NDArray[Any]) -> Floats:
    noise = NoiseFrames(NoiseBank([], FEATURES.sample_rate), FEATURES)
    return bend(log_mel.copy(), untouched(len(log_mel), **changed), FEATURES, noise=noise)


def learner(kind: str = "gru", **changed: Any) -> LearnerPlan:
    return LearnerPlan.read({"name": "a", "kind": kind, "units": 9, "dropout": 0.0, **changed})


def outcome_of(plan: LearnerPlan, weights: list[Floats], **changed: Any) -> Outcome:
    return Outcome(
        phase=PhasePlan(name="phase", learners=(plan,), epochs=2, **changed),
        labels=LABELS,
        mean=np.linspace(-200, 20, FEATURES.n_mfcc, dtype=np.float32),
        variance=np.array(400.0, np.float32),
        weights={plan.name: weights},
        figures={"clips": 5_900, "clips_an_epoch": 3_000, "seconds": 30.0, plan.name: {"loss": 0.5}},
        torch="2.99",
    )


def plan_of(kind: str) -> dict[str, Any]:
    return {"name": kind, "kind": kind, "units": 3}


def write_bundle(folder: Path) -> None:
    """800 clips of four words, of which two are wanted, 20 of another language, each of 20 frames."""
    word = np.arange(800) % 4
    clips = spoken(820)[:, 35:55].astype(np.float16)
    np.savez(
        folder / "recorded.npz",
        allow_pickle=False,
        **coded("recorded", clips[:800], 3.0),
        word=word.astype(np.int16),
        words=np.array(["bed", "cat", "no", "yes"]),
        labels=np.array(LABELS),
        true=np.arange(800) < 200,
        noise=np.full((500, N_BANDS), -40, np.float16),
        noise_level=np.full(500, -20, np.float16),
        noise_lengths=np.array([200, 300]),
        noise_generated=np.array([0, 1]),
        generated_share=np.array(0.25),
        cosines=features.basis(FEATURES).cosines,
        edges_hz=np.array(FEATURES.band_edges_hz),
    )
    np.savez(
        folder / "others.npz",
        allow_pickle=False,
        **coded("rendered", clips[:800] - np.float16(3), 4.5),
        **coded("arabic", clips[800:], 4.5),
        **coded("validation", clips[:800], 2.0),
        validation_label=np.array([1, 1, 3, 2])[word],
        validation_true=np.arange(800) < 200,
    )


def trained(plan: dict[str, Any], folder: Path) -> list[str]:
    """What a training prints, in a process of its own: PyTorch's compiler and TensorFlow's can't share one."""
    (folder / "plan.json").write_text(json.dumps(plan))
    command = [sys.executable, "-m", "benchmarks.gpu.train", str(folder), str(folder / "plan.json"), str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()


def drawn_weights(plan: LearnerPlan) -> list[Floats]:
    settings = ModelSettings(cell=plan.kind, units=plan.units, stack=plan.stack)
    classifier = build_classifier(settings, N_FRAMES, FEATURES.n_mfcc, 4)
    rng = np.random.default_rng(3)
    return [rng.normal(scale=0.2, size=one.shape).astype(np.float32) for one in classifier.trainable_weights]


def test_bending_is_named_as_the_settings_of_a_run_are() -> None:
    known = {**AugmentationSettings.model_fields, **TaskSettings.model_fields}

    own = {one.name for one in fields(Bending)} - set(known)

    assert own == {"rendered"}


def test_what_is_usual_of_bending_is_usual_of_a_run() -> None:
    usual = {**AugmentationSettings().model_dump(), **TaskSettings().model_dump()}
    of_run = {name: value for name, value in vars(Bending()).items() if name != "rendered"}

    assert of_run == {name: usual[name] for name in of_run}


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_every_plan_can_be_read_and_teaches_what_it_has(path: Path) -> None:
    plan = Plan.load(path)

    taught = {f"{Path(file).stem}/{name}" for file, names in plan.teachers.items() for name in names}
    for phase in plan.phases:
        assert set(phase.teachers) <= taught
        assert len({one.name for one in phase.learners}) == len(phase.learners)
        taught |= {f"{phase.name}/{one.name}" for one in phase.learners}


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_every_learner_that_streams_can_be_a_run(path: Path) -> None:
    for phase in Plan.load(path).phases:
        for one in phase.learners:
            if one.streams:
                settings = settings_of(phase, one, 10)

                assert (settings.model.cell, settings.model.units) == (one.kind, one.units)


def test_teachers_of_the_students_are_learners_of_the_other_plans() -> None:
    folder = PLANS[0].parent
    for file, names in Plan.load(folder / "students.json").teachers.items():
        (phase,) = Plan.load((folder / file).with_suffix(".json")).phases

        assert phase.name == Path(file).stem
        assert set(names) <= {one.name for one in phase.learners if not one.streams}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"unknown_time": 3}, "has no unknown_time"),
        ({"bending": {"shift": 3}}, "has no shift"),
        ({"learners": [{"name": "a", "kind": "rnn", "units": 3}]}, "kind='rnn'"),
        ({"learners": [{"name": "a", "kind": "gru"}]}, "lacks units"),
        ({"seconds": 3}, "one of the two"),
        ({"epochs": 0}, "one of the two"),
    ],
)
def test_a_plan_that_means_nothing_is_refused(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    phase = {"name": "p", "epochs": 1, "learners": [{"name": "a", "kind": "gru", "units": 3}], **changed}
    (tmp_path / "plan.json").write_text(json.dumps({"phases": [phase]}))

    with pytest.raises(ValueError, match=message):
        Plan.load(tmp_path / "plan.json")


def test_the_rate_rises_for_a_twentieth_and_falls_along_a_cosine() -> None:
    plan = learner(learning_rate=0.004)

    rates = [plan.rate(progress) for progress in (0.0, 0.025, 0.05, 0.525, 1.0)]

    assert rates == pytest.approx([4e-7, 0.002, 0.004, 0.002, 4e-7])


def test_an_epoch_is_the_words_and_their_shares_of_the_others() -> None:
    plan = PhasePlan(name="p", learners=(), epochs=1, unknown_times=5, foreign=0.2, silence_times=1.5)

    assert plan.mixture(1_000) == (1_000, 500, 200, 150)


def test_what_a_phase_leaves_is_read_as_it_was(tmp_path: Path) -> None:
    plan = learner("lstm", learning_rate=0.006)
    outcome = outcome_of(plan, drawn_weights(plan), left_out=("bed",), bending=Bending(rendered=0.5))

    outcome.save(tmp_path)

    again = Outcome.load(tmp_path / "phase.npz")
    assert (again.phase, again.labels, again.torch) == (outcome.phase, LABELS, "2.99")
    assert again.figures == outcome.figures
    np.testing.assert_array_equal(again.mean, outcome.mean)
    for one, other in zip(again.weights["a"], outcome.weights["a"], strict=True):
        np.testing.assert_array_equal(one, other)


def test_files_of_the_first_version_know_how_long_their_epochs_were(tmp_path: Path) -> None:
    """They have the plan as it was given, and neither clips_an_epoch nor torch."""
    phase = {"name": "p", "seconds": 9, "foreign": 0.1, "learners": [{"name": "a", "kind": "gru", "units": 9}]}
    about = {"phase": phase, "figures": {"clips": 100_000, "a": {"loss": 1.0}}, "labels": LABELS}
    np.savez(
        tmp_path / "p.npz",
        allow_pickle=False,
        mean=np.zeros(40, np.float32),
        variance=np.float32(1),
        about=np.frombuffer(json.dumps(about).encode(), np.uint8),
    )

    outcome = Outcome.load(tmp_path / "p.npz")

    assert outcome.clips_an_epoch == 29_710 + 3 * 2_971 + 2_971 + 2_971
    assert outcome.epochs == 2
    assert outcome.torch == "2.11.0+cu130"


@pytest.mark.parametrize("cell", CELLS)
def test_a_run_has_the_weights_and_says_what_it_heard(cell: str, tmp_path: Path) -> None:
    plan = learner(cell, stack=2, learning_rate=0.006, weight_decay=0.01, seed=5)
    weights = drawn_weights(plan)
    outcome = outcome_of(plan, weights, foreign=0.1, silence_times=1.5, left_out=("bed",), batch=256)

    write_run(tmp_path / "run", record_of(outcome, plan, [SOURCE], ("1" * 64,)), outcome, "a")

    run = load_run(tmp_path / "run")
    for variable, weight in zip(run.classifier.trainable_weights, weights, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), weight)
    np.testing.assert_array_equal(np.ravel(run.classifier.get_layer("normalization").mean), outcome.mean)
    np.testing.assert_array_equal(np.ravel(run.classifier.get_layer("normalization").variance), 400.0)
    task, training = run.settings.task, run.settings.training
    assert (task.unknown_times, task.silence_share, task.left_out) == (4.0, 0.15, ("bed",))
    assert (training.epochs, training.batch_size, training.learning_rate) == (2, 256, 0.006)
    assert (training.weight_decay, training.seed) == (0.01, 5)
    assert (run.record.clips, run.record.taught_by) == (3_000, ("1" * 64,))
    assert run.record.made_with["torch"] == "2.99"
    assert [line["validation_accuracy"] for line in run.history] == [None]


def test_weights_of_another_network_make_no_run(tmp_path: Path) -> None:
    plan = learner("gru")
    outcome = outcome_of(plan, drawn_weights(learner("gru", units=10)))

    with pytest.raises(ValueError, match="are not those of this classifier"):
        write_run(tmp_path / "run", record_of(outcome, plan, [SOURCE], ()), outcome, "a")

    assert not (tmp_path / "run").exists()


def test_size_is_close_to_the_entropy_of_what_is_kept() -> None:
    spectrograms = smooth(4_000)

    coded = encode(spectrograms, 3.0)

    symbols = np.rint(cosines(20) @ spectrograms.astype(np.float64) @ cosines(12).T / 3.0).reshape(4_000, -1).T
    counts = [np.unique(one, return_counts=True)[1] for one in symbols]
    entropy_bits = sum(float(-(n * np.log2(n / n.sum())).sum()) for n in counts)
    # A coder begins with 16 bits and ends with 16 to 32, whatever it says.
    written_bits = 16 * coded["words"].size + float(np.log2(coded["state"].astype(np.float64)).sum()) - 16 * 4_000
    assert entropy_bits < written_bits < 1.01 * entropy_bits
    assert coded["state"].shape == (4_000,)
    assert coded["lows"].shape == coded["sizes"].shape == (20 * 12,)
    assert coded["tables"].shape == (int(coded["sizes"].astype(int).sum()),)


def test_a_coder_written_by_the_book_reads_them() -> None:
    """Duda 2013, arXiv:1311.2540, one symbol after the other."""
    spectrograms = smooth(30)

    coded = encode(spectrograms, 3.0)

    words, states = iter(coded["words"].tolist()), coded["state"].tolist()
    ends = np.cumsum(coded["sizes"].astype(int)).tolist()
    symbols = np.empty((20 * 12, 30), int)
    for number, (end, size) in enumerate(zip(ends, coded["sizes"].tolist(), strict=True)):
        table = coded["tables"][end - size : end].astype(int)
        begins = np.cumsum(table) - table
        for clip, state in enumerate(states):
            symbol = int(np.searchsorted(begins + table, state % 2**14, side="right"))
            state = int(table[symbol]) * (state // 2**14) + state % 2**14 - int(begins[symbol])
            states[clip] = state * 2**16 + next(words) if state < 2**16 else state
            symbols[number, clip] = symbol + int(coded["lows"][number])
    expected = np.rint(cosines(20) @ spectrograms.astype(np.float64) @ cosines(12).T / 3.0)
    np.testing.assert_array_equal(symbols.T.reshape(30, 20, 12), expected)
    assert list(words) == []
    assert set(states) == {2**16}


@pytest.mark.parametrize("step_db", [0.5, 3.0])
def test_what_is_decoded_is_within_half_a_step(torch: Any, step_db: float) -> None:
    from benchmarks.gpu.spectrograms import decode

    spectrograms = smooth(500)

    decoded = decode(encode(spectrograms, step_db), torch.device("cpu")).numpy()

    error = decoded.astype(np.float64) - spectrograms
    in_coefficients = cosines(20) @ error @ cosines(12).T
    # Half precision rounds by up to 1/32 dB here, which the transform adds up.
    assert np.abs(in_coefficients).max() < step_db / 2 + 0.1
    assert np.sqrt(np.mean(error**2)) < step_db / np.sqrt(12) + 0.02
    assert decoded.dtype == np.float16


def test_a_coefficient_that_never_varies_is_kept(torch: Any) -> None:
    from benchmarks.gpu.spectrograms import decode

    still = np.full((7, 4, 3), -80.0, np.float16)

    decoded = decode(encode(still, 1.0), torch.device("cpu")).numpy()

    np.testing.assert_allclose(decoded, still, atol=0.5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("stack", [1, 2, 3])
def test_the_classifier_of_the_package_gives_the_same_logits(
    torch: Any, networks: ModuleType, cell: str, stack: int
) -> None:
    torch.manual_seed(1)
    network = networks.Recurrent(cell, 17, 5, stack=stack, dropout=0.0)
    for parameter in network.parameters():  # biases too, which begin as zeros
        torch.nn.init.normal_(parameter, std=0.3)
    mfcc = np.random.default_rng(2).normal(size=(6, N_FRAMES, 40)).astype(np.float32)

    classifier = build_classifier(ModelSettings(cell=cell, units=17, stack=stack), N_FRAMES, 40, 5)
    for variable, weight in zip(classifier.trainable_weights, network.keras_weights(), strict=True):
        variable.assign(weight)

    with torch.no_grad():
        logits = network(torch.tensor(mfcc)).numpy()
    assert np.abs(logits).max() > 0.1
    np.testing.assert_allclose(logits, classifier.predict_on_batch(mfcc), atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_weights_begin_as_keras_draws_them(torch: Any, networks: ModuleType, cell: str) -> None:
    torch.manual_seed(1)
    given = networks.Recurrent(cell, 64, 12).keras_weights()

    expected = build_classifier(ModelSettings(cell=cell, units=64), N_FRAMES, 40, 12).trainable_weights

    for weight, keras_weight in zip(given, map(np.asarray, expected), strict=True):
        assert weight.shape == keras_weight.shape
        np.testing.assert_allclose(weight.std(), keras_weight.std(), rtol=0.1)
        np.testing.assert_allclose(weight.mean(), keras_weight.mean(), atol=0.02)


@pytest.mark.parametrize("kind", ["both_ways", "residual"])
def test_a_teacher_that_is_kept_says_what_it_said(torch: Any, networks: ModuleType, kind: str) -> None:
    network, again = (networks.build(learner(kind, units=8), 5).eval() for _ in range(2))
    x = torch.randn(3, N_FRAMES, 40)

    networks.set_weights(again, networks.weights_of(network))

    with torch.no_grad():
        # Its weights are kept at half precision.
        np.testing.assert_allclose(again(x).numpy(), network(x).numpy(), atol=0.01)


def test_the_front_end_makes_the_coefficients_of_the_package(torch: Any) -> None:
    from benchmarks.gpu.learner import FrontEnd

    log_mel, mean = spoken(4), np.linspace(-200, 20, 40, dtype=np.float32)
    front_end = FrontEnd(
        torch.tensor(features.basis(FEATURES).cosines), torch.tensor(mean), torch.tensor(np.float32(400.0))
    )

    heard = front_end(torch.tensor(log_mel)).mfcc.numpy()

    expected = (features.mfcc_from_log_mel(log_mel, FEATURES) - mean) / 20
    np.testing.assert_allclose(heard, expected, atol=1e-4)


def test_clips_move_as_in_the_package(torch: Any, bending: ModuleType) -> None:
    log_mel, rng = spoken(40), np.random.default_rng(4)
    tempo, shift = rng.uniform(0.9, 1.1, 40).astype(np.float32), rng.integers(-15, 16, 40)

    moved = bending.moved(torch.tensor(log_mel), torch.tensor(tempo), torch.tensor(shift).float()).numpy()

    expected = bent_by_package(log_mel, tempo=tempo, shift=shift)
    np.testing.assert_allclose(moved, expected, atol=0.02)
    assert np.abs(moved - log_mel).max() > 10


def test_clips_are_higher_or_lower_as_in_the_package(torch: Any, bending: ModuleType) -> None:
    log_mel = spoken(40)
    pitch = np.random.default_rng(5).uniform(0.94, 1.06, 40).astype(np.float32)
    centres_hz = torch.tensor(FEATURES.band_edges_hz[1:-1])

    warped = bending.warped_in_frequency(torch.tensor(log_mel), torch.tensor(pitch), centres_hz).numpy()

    expected = bent_by_package(log_mel, pitch=pitch)
    # The package interpolates between bands in Hz, this in mel.
    np.testing.assert_allclose(warped, expected, atol=0.3)
    assert np.abs(warped - log_mel).max() > 3


def test_words_are_spliced_as_in_the_package(torch: Any, bending: ModuleType) -> None:
    first, second = spoken(40), spoken(40, seed=2)
    shares = np.random.default_rng(6).random((40, 2))
    widths_hz = bending.band_widths(torch.tensor(FEATURES.band_edges_hz)).float()

    halves = (torch.tensor(one) for one in (first, second))
    spliced = bending.spliced(*halves, torch.tensor(shares).float(), widths_hz).numpy()

    expected = np.stack([splice(*one, FEATURES) for one in zip(first, second, shares, strict=True)])
    np.testing.assert_allclose(spliced, expected, atol=1e-3)


def test_clips_are_masked_as_in_the_package(torch: Any, bending: ModuleType) -> None:
    log_mel, keys = spoken(40), np.arange(40)
    how = Bending(time_masks=2, time_mask_frames=12, frequency_masks=3, frequency_mask_mels=4)
    settings = AugmentationSettings(time_masks=2, time_mask_frames=12, frequency_masks=3, frequency_mask_mels=4)
    shares = torch.tensor(np.array([rng.random(10) for rng in generators(1, "masks", 0, keys)]).T)

    masked = bending.masked(torch.tensor(log_mel), list(zip(shares[::2], shares[1::2], strict=True)), how).numpy()

    expected = mask(log_mel, keys, seed=1, epoch=0, settings=settings)
    np.testing.assert_allclose(masked, expected, atol=1e-3)


def test_microphones_are_those_of_the_package(torch: Any, bending: ModuleType) -> None:
    amounts = np.random.default_rng(7).uniform(-3, 3, (40, 3)).astype(np.float32)

    colours = bending.colours(torch.tensor(amounts), N_BANDS).numpy()

    np.testing.assert_allclose(colours, colours_of_package(amounts, N_BANDS), atol=1e-5)


def test_clips_that_nothing_happens_to_stay_as_they_are(torch: Any, bending: ModuleType, bundle: Any) -> None:
    bender = bending.Bender(bundle, torch.arange(60), nothing_but())

    bent = bender.bent(torch.arange(80))

    np.testing.assert_allclose(bent.numpy(), bundle.clips.float().numpy(), atol=0.01)


def test_the_second_rendering_is_heard_of_own_clips_only(torch: Any, bending: ModuleType, bundle: Any) -> None:
    bender = bending.Bender(bundle, torch.arange(60), nothing_but(rendered=1.0))

    bent = bender.bent(torch.arange(80)).numpy()

    np.testing.assert_allclose(bent[:60], bundle.rendered.float().clamp(min=FLOOR_DB).numpy(), atol=0.01)
    np.testing.assert_allclose(bent[60:], bundle.clips[60:].float().numpy(), atol=0.01)


def test_silence_is_noise_at_its_level(torch: Any, bending: ModuleType, bundle: Any) -> None:
    bender = bending.Bender(bundle, torch.arange(60), nothing_but(silence_low_db=-50.0, silence_high_db=-50.0))

    bent = bender.bent(torch.full((3,), -1))

    # The noise has -40 dB a band at a level of -20 dB.
    np.testing.assert_allclose(bent.numpy(), -70.0, atol=0.01)


def test_noise_lies_so_far_below_what_is_spoken(torch: Any, bending: ModuleType, bundle: Any) -> None:
    how = nothing_but(noise_probability=1.0, snr_low_db=20.0, snr_high_db=20.0)

    bent = bending.Bender(bundle, torch.arange(60), how).bent(torch.arange(60)).numpy()

    clean = bundle.clips[:60].float().numpy()
    widths_hz = band_widths(FEATURES)
    for one, other in zip(clean, bent, strict=True):
        is_spoken = one[:, 0] > FLOOR_DB
        spoken_power = (10 ** (one[is_spoken] / 10) @ widths_hz).mean()
        noise_power = (10 ** (other[~is_spoken] / 10) @ widths_hz).mean()
        assert 10 * np.log10(spoken_power / noise_power) == pytest.approx(20, abs=0.1)


def test_unknown_words_only_are_reversed(torch: Any, bending: ModuleType, bundle: Any) -> None:
    bender = bending.Bender(bundle, torch.arange(60), nothing_but(reverse_probability=1.0))

    bent = bender.bent(torch.arange(80))

    is_unknown = (bundle.label == 1)[:, None, None]
    expected = torch.where(is_unknown, bundle.clips.flip(1), bundle.clips).float()
    np.testing.assert_allclose(bent.numpy(), expected.numpy(), atol=0.01)


def test_an_epoch_hears_each_wanted_clip_and_no_word_that_is_left_out(torch: Any, bundle: Any) -> None:
    from benchmarks.gpu.bundle import Items

    plan = PhasePlan(name="p", learners=(), epochs=1, left_out=("cat",), foreign=0.2, unknown_times=5.0, true_again=1)
    items = Items(bundle, plan)

    clips = items.epoch()

    labels = bundle.labels_of(clips)
    wanted = [clip for clip in range(60) if clip % 4 in (2, 3)]
    assert sorted(clips[labels > 1].tolist()) == sorted(wanted + [clip for clip in wanted if clip < 20])
    assert set((clips[(labels == 1) & (clips < 60)] % 4).tolist()) == {0}
    assert set((items.partners % 4).tolist()) == {0, 2, 3}
    assert int((clips >= 60).sum()) == 8
    assert clips[labels == 0].tolist() == [-1] * 4
    assert len(clips) == len(items)


@pytest.mark.slow
def test_a_plan_trains_and_leaves_what_becomes_runs(torch: Any, tmp_path: Path) -> None:
    write_bundle(tmp_path)
    of_teacher = {"name": "teacher", "epochs": 1, "unknown_times": 100, "learners": [plan_of("residual")]}
    of_students = {**of_teacher, "name": "students", "teachers": ["teacher/residual"]}
    of_students["learners"] = [plan_of("gru"), plan_of("lstm")]

    lines = trained({"phases": [of_teacher]}, tmp_path)
    lines += trained({"teachers": {"teacher.npz": ["residual"]}, "phases": [of_students]}, tmp_path)

    teacher, students = (Outcome.load(tmp_path / f"{name}.npz") for name in ("teacher", "students"))
    assert [json.loads(line) for line in lines[1::2]] == [teacher.figures, students.figures]
    assert (teacher.phase, students.phase) == (PhasePlan.read(of_teacher), PhasePlan.read(of_students))
    assert teacher.torch == students.torch == torch.__version__
    assert students.figures["clips_an_epoch"] == 400 + 4_000 + 40
    assert students.figures["clips"] == 512 * students.figures["steps"] == 4_096
    assert set(students.figures["together"]) == {"all", "words", "unknown", "silence", "true_words"}
    for one in students.phase.learners:
        write_run(tmp_path / one.name, record_of(students, one, [SOURCE], ()), students, one.name)
        assert load_run(tmp_path / one.name).labels == LABELS


def test_an_epoch_that_is_too_short_is_refused(torch: Any, bundle: Any) -> None:
    from benchmarks.gpu.train import Phase

    with pytest.raises(ValueError, match="an epoch of 42 clips is too short; 4,096 are needed"):
        Phase(PhasePlan(name="p", learners=(learner(),), epochs=1), bundle, [])
