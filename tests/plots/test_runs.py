"""Training curves and the score table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurodyn import plots
from neurodyn import recording as rec
from neurodyn.errors import EmptySelectionError


def history(n_steps: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"kind": "train", "step": step, "epoch": 0, "loss": 1.0 / step, "kl": 2.0}
        for step in range(1, n_steps + 1)
    ]
    rows[2]["loss"] = math.nan
    return [*rows, {"kind": "validation", "step": n_steps, "epoch": 0, "loss": 0.5, "co_bps": 0.2}]


def test_short_runs_are_drawn_step_by_step() -> None:
    axes = plots.training_curves(history(10))
    train, validation = axes.lines
    assert np.array_equal(train.get_xdata(), np.arange(1, 11))
    assert np.allclose(train.get_ydata()[3:], 1.0 / np.arange(4, 11))
    assert np.isnan(train.get_ydata()[2])
    assert validation.get_xydata().tolist() == [[10.0, 0.5]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["train", "validation"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("training step", "loss")


def test_long_runs_get_a_running_mean_of_finite_steps() -> None:
    axes = plots.training_curves(history(200))
    steps, mean, _ = axes.lines
    assert len(steps.get_xdata()) == 200
    values = [math.nan if step == 3 else 1.0 / step for step in range(1, 201)]
    expected = [np.nanmean(values[end - 5 : end]) for end in range(5, 201)]
    assert np.allclose(mean.get_ydata(), expected)
    assert mean.get_label() == "train"


def test_other_quantities_by_name() -> None:
    axes = plots.training_curves(history(5), quantity="co_bps")
    assert [line.get_label() for line in axes.lines] == ["validation"]
    assert axes.get_ylabel() == "co bps"
    with pytest.raises(EmptySelectionError, match=r"no 'los' in the history(.|\n)*'loss'"):
        plots.training_curves(history(5), quantity="los")


@pytest.fixture
def table() -> xr.Dataset:
    score = np.array([[0.20, 0.9], [0.26, np.nan], [0.15, 0.6]])
    return rec.results(
        {
            "score": (("model", "metric"), score),
            "low": (("model", "metric"), score - 0.02),
            "high": (("model", "metric"), score + 0.03),
        },
        {
            "model": ["GRU", "LangevinFlow", "GLM"],
            "metric": ["co_bps", "rate_r2"],
            "headline": ("model", [False, True, False]),
        },
        units={"co_bps": "bits/spike"},
    )


def test_scores_are_ordered_dots_with_intervals(table: xr.Dataset) -> None:
    axes = plots.scores(table, "co_bps")
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["GLM", "GRU", "LangevinFlow"]
    intervals, dots = axes.collections
    assert np.allclose(dots.get_offsets(), [[0.15, 0], [0.20, 1], [0.26, 2]])
    assert np.allclose(
        [s[:, 0] for s in intervals.get_segments()], [[0.13, 0.18], [0.18, 0.23], [0.24, 0.29]]
    )
    assert [label.get_fontweight() for label in axes.get_yticklabels()] == [
        "normal",
        "normal",
        "bold",
    ]
    assert axes.get_xlabel() == "co_bps [bits/spike]"


def test_models_without_the_score_are_left_out(table: xr.Dataset) -> None:
    axes = plots.scores(table.drop_vars(["low", "high"]), "rate_r2")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["GLM", "GRU"]
    assert axes.get_xlabel() == "rate_r2"
    assert len(axes.collections) == 1


def test_scores_refuse_what_is_not_there(table: xr.Dataset) -> None:
    with pytest.raises(EmptySelectionError, match=r"no metric 'co_bp'(.|\n)*'co_bps'"):
        plots.scores(table, "co_bp")
    nobody = table.assign(score=table["score"] * np.nan)
    with pytest.raises(EmptySelectionError, match="no model has a 'co_bps'"):
        plots.scores(nobody, "co_bps")
