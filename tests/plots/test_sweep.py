"""Curves of trials: what is drawn is what was found."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from neurodyn.errors import EmptySelectionError
from neurodyn.plots.sweep import trial_curves

CURVE = [[3.0, 2.0, 1.5], [2.5, 1.0, 0.5], [4.0, np.nan, np.nan]]


def found(**attrs):
    return xr.Dataset(
        {"curve": (("trial", "validation"), CURVE)},
        {"trial": ["0", "1", "2"], "validation": [10, 20, 30]},
        attrs,
    )


def test_a_line_for_each_trial():
    axes = trial_curves(found(best="1", metric="nll"))
    lines = axes.get_lines()
    for line, curve in zip(lines, CURVE, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [10, 20, 30])
        np.testing.assert_array_equal(line.get_ydata(), curve)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["start", "best: 1"]
    assert lines[1].get_zorder() > lines[2].get_zorder()
    assert axes.get_ylabel() == "validation nll"


def test_the_start_may_be_the_best():
    axes = trial_curves(found(best="0"))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["best: 0"]


def test_nothing_to_draw():
    for empty in (xr.Dataset(), found().isel(validation=[])):
        with pytest.raises(EmptySelectionError, match="no curves of trials"):
            trial_curves(empty)
