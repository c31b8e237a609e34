"""All figures of a comparison's page as one JSON file inside a URL, so that nobody has to read them off a picture."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from speech_rnn.comparison.report.answer import ClaimRow
from speech_rnn.comparison.report.by_label import LabelRow
from speech_rnn.comparison.report.conditions import all_measured
from speech_rnn.comparison.report.curves import Curves
from speech_rnn.comparison.report.fronts import Front
from speech_rnn.comparison.results import Results
from speech_rnn.comparison.summary import Summary
from speech_rnn.memory_tasks.experiment import Outcome
from speech_rnn.settings import Settings

CLAIM_FIELDS = (
    *("sentence", "shows", "budget", "verdict", "rule", "why"),
    *("effect", "low", "high", "unit", "interval", "over", "figure"),
)


def json_url(
    results: Results,
    summary: Summary,
    *,
    curves: Sequence[Curves],
    fronts: Sequence[Front],
    labels: Sequence[LabelRow],
    claims: Sequence[ClaimRow],
    outcomes: Sequence[Outcome],
) -> str:
    """What the page shows and what it was made from; shares are from 0 to 1 there, differences too."""
    header = results.header
    figures = {
        "summary": _plain(summary),
        "claims": [{name: getattr(claim, name) for name in CLAIM_FIELDS} for claim in claims],
        "curves": [_plain(one) for one in curves],
        "fronts": [_plain(one) for one in fronts],
        "by_label": [
            {
                "label": row.label,
                "clips": row.clips,
                "accuracies": {cell: _plain(point) for cell, point in row.accuracies.items()},
                "differences": {f"{one}-{other}": _plain(point) for (one, other), point in row.differences.items()},
            }
            for row in labels
        ],
        "measured": {
            key: {name: _plain(point) for name, point in points.items()}
            for key, points in all_measured(results).items()
        },
        "costs": [_plain(one) for one in results.costs.values()],
        "memory_tasks": [_plain(one) for one in outcomes],
        "plan": _plain(header.plan),
        "labels": header.labels,
        "recordings": [_plain(one) for one in header.recordings],
        "made_with": header.made_with,
    }
    text = json.dumps(figures, separators=(",", ":"))
    return f"data:application/json;base64,{base64.b64encode(text.encode()).decode()}"


def _plain(settings: Settings) -> dict[str, Any]:
    return settings.model_dump(mode="json")
