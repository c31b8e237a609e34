from __future__ import annotations

import dataclasses

import pytest

from speech_rnn.comparison.report.fronts import Front, fronts
from speech_rnn.comparison.results import Results
from speech_rnn.comparison.summary import Summary, summarize
from tests.comparison.planted_whole import whole_results


@pytest.fixture(scope="module")
def results() -> Results:
    return whole_results(n=100, epochs=2)


@pytest.fixture(scope="module")
def summary(results: Results) -> Summary:
    return summarize(results, resamples=20)


def test_each_cell_and_size_stands_once_with_its_accuracy_and_cost(results: Results, summary: Summary) -> None:
    by_bytes, by_macs, by_time = fronts(results, summary)

    for front in (by_bytes, by_macs, by_time):
        places = [(point.cell, point.units) for point in front.points]
        assert len(places) == len(set(places)) == len(results.costs)
    contenders = {(one.contender.cell, one.contender.units): one for one in summary.contenders}
    for point in by_bytes.points:
        one = contenders[point.cell, point.units]
        assert (point.cost, point.accuracy) == (one.contender.int8_bytes, one.accuracy)
        assert (point.low, point.high) == (one.low, one.high)
    assert {point.cost for point in by_time.points} == {costs.step_us_int8 for costs in results.costs.values()}


def test_on_the_front_is_what_no_cheaper_size_of_the_cell_equals(results: Results, summary: Summary) -> None:
    for front in fronts(results, summary):
        for point in front.points:
            others = [one for one in front.points if one.cell == point.cell and one is not point]
            beaten = any(one.cost <= point.cost and one.accuracy >= point.accuracy for one in others)
            assert point.on_front != beaten


def test_without_measured_times_there_is_no_front_of_them(results: Results, summary: Summary) -> None:
    found: list[Front] = fronts(dataclasses.replace(results, costs={}), summary)

    assert [one.key for one in found] == ["accuracy_by_bytes", "accuracy_by_macs"]
