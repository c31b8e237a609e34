from __future__ import annotations

from speech_rnn.comparison.report.tables import costs_table
from tests.comparison.planted import planted_costs
from tests.comparison.planted_whole import whole_results


def test_a_cost_that_one_cell_lacks_is_a_dash_and_one_that_all_lack_has_no_row() -> None:
    contenders = whole_results(n=10, epochs=1, sizes=(8,)).header.contenders[:2]
    first, second = (planted_costs(one.cell, one.units) for one in contenders)
    lacking = second.changed(step_us_float32=None, clip_us_float32=None, file_bytes_float32=None)

    table = costs_table("Costs", contenders, {one.key: one for one in (first, lacking)})

    rows = {name: texts for name, *texts in table.rows}
    assert rows["A step in float32"] == ["9 µs", "–"]
    assert rows["A clip in float32"] == ["9 µs", "–"]
    assert rows["Stream file, float32"] == ["9 bytes", "–"]
    assert not [name for name in rows if "int8" in name and name != "Weights in int8, bytes"]
