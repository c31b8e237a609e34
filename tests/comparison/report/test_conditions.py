from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from speech_rnn.comparison.report.conditions import all_measured, bent, gaps, int8_losses, measured_contenders, reach
from speech_rnn.comparison.results import Answers, Results
from tests.comparison.planted_whole import SEEDS, whole_results


@pytest.fixture(scope="module")
def results() -> Results:
    return whole_results(n=100, epochs=2)


def test_noise_speed_and_level_have_the_clips_as_recorded_beside_them(results: Results) -> None:
    found = {one.key: one for one in bent(results)}

    places = {key: [point.x for point in one.panels[0].curves[0].points] for key, one in found.items()}
    assert places == {
        "accuracy_by_snr": [0, 5, 10, 20, None],
        "accuracy_by_speed": [0.7, 0.85, 1.0, 1.15, 1.3],
        "accuracy_by_level": [-40, -30, -20, -10, None],
    }
    gru = found["accuracy_by_snr"].panels[0].curves[1]
    lines = [results.measured[f"gru-{gru.units}-seed{seed}"] for seed in SEEDS]
    assert gru.points[2].value == pytest.approx(np.mean([line.answers["snr:10"].bits().mean() for line in lines]))
    assert gru.points[4].value == pytest.approx(np.mean([line.answers["recorded:0"].bits().mean() for line in lines]))


def test_gaps_are_small_multiples_before_and_after_they_were_taught(results: Results) -> None:
    untaught, taught = gaps(results)

    assert (untaught.key, taught.key) == ("accuracy_by_gap", "accuracy_by_taught_gap")
    for one in (untaught, taught):
        assert [panel.name.split()[0] for panel in one.panels] == ["silence", "noise", "other"]
        assert one.guess == pytest.approx(1 / 6)
        assert [point.x for point in one.panels[2].curves[2].points] == [0, 0.5, 1, 2, 4]
    assert untaught.panels[0].curves[2].points[-1].value < taught.panels[0].curves[2].points[-1].value


def test_the_gradient_is_told_by_milliseconds_before_the_end(results: Results) -> None:
    found = reach(results)

    assert found is not None
    hop_ms = 1_000 * results.header.plan.base.features.hop_s
    points = found.panels[0].curves[0].points
    assert [point.x for point in points[:3]] == pytest.approx([0.0, hop_ms, 2 * hop_ms])
    assert len(points) == 90


def test_integers_lose_what_they_lose_of_the_same_clips(results: Results) -> None:
    for one in int8_losses(results):
        lines = [results.measured[f"{one.cell}-{one.units}-seed{seed}"].answers for seed in SEEDS]
        lost = [line["recorded:0"].bits().mean() - line["int8:0"].bits().mean() for line in lines]
        assert one.lost.value == pytest.approx(np.mean(lost))
        assert one.lost.low is not None
        assert one.lost.low < one.lost.value


def test_all_that_was_measured_is_there_by_cell_and_name(results: Results) -> None:
    found = all_measured(results)

    assert set(found) == {f"{one.cell}-{one.units}" for one in measured_contenders(results)}
    assert set(found["lstm-32"]) == set(next(iter(results.measured.values())).answers)


def test_names_that_nobody_knows_are_no_picture_but_are_kept(results: Results) -> None:
    key, line = next(iter(results.measured.items()))
    odd = line.changed(answers={"echo:2": Answers(n=1, right="80"), "snr_loud:1": Answers(n=1, right="80")})
    few = dataclasses.replace(results, measured={key: odd.changed(gradient_norms=(1.0,))})

    assert (bent(few), gaps(few), reach(few), int8_losses(few)) == ([], [], None, [])
    assert set(all_measured(few)["lstm-32"]) == {"echo:2", "snr_loud:1"}


def test_without_measures_there_is_nothing(results: Results) -> None:
    without = dataclasses.replace(results, measured={})

    assert measured_contenders(without) == ()
    assert (bent(without), gaps(without), reach(without), int8_losses(without), all_measured(without)) == (
        [],
        [],
        None,
        [],
        {},
    )
