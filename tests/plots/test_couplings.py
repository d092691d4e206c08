"""Couplings beside the truth, and the curve whose area the metrics give."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import roc_auc_score, roc_curve

from neurodyn import plots
from neurodyn import recording as rec
from neurodyn.errors import DataError, DegenerateInputError, EmptySelectionError

from .examples import drawn

UNITS = ["a", "b", "c", "d", "e"]
PAIRS = ("unit", "unit_to")
OFF_DIAGONAL = ~np.eye(5, dtype=bool)


def truth() -> xr.Dataset:
    """``b`` drives all others, in an order of units that is not that of the scores."""
    weight = np.zeros((6, 6))
    names = ["f", "e", "d", "c", "b", "a"]
    weight[4, [1, 2, 3, 5]] = 0.6
    weight[0, 1] = -0.3
    return rec.results({"weight": (PAIRS, weight)}, {"unit": names, "unit_to": names})


def couplings(*measures: str) -> xr.Dataset:
    rng = np.random.default_rng(0)
    score = rng.normal(size=(len(measures) or 1, 5, 5)).round(1)
    score[:, 1] += 1.0
    coords = {"unit": UNITS, "unit_to": UNITS}
    if not measures:
        return rec.results({"score": (PAIRS, score[0])}, coords, measure="deletion")
    dims = ("measure", *PAIRS)
    return rec.results({"score": (dims, score)}, {"measure": list(measures), **coords})


def test_scores_stand_beside_the_truth_in_one_order() -> None:
    found = couplings()
    axes = plots.coupling_matrix(found, truth())
    score = np.where(OFF_DIAGONAL, found["score"].values, np.nan)
    order = np.argsort(-np.nanmean(score, axis=1))
    assert UNITS[order[0]] == "b"
    shown = np.ma.filled(axes[0].images[0].get_array(), np.nan)
    np.testing.assert_array_equal(shown, score[np.ix_(order, order)])
    names = [UNITS[row] for row in order]
    weight = truth()["weight"].sel(unit=names, unit_to=names).values.copy()
    np.fill_diagonal(weight, np.nan)
    shown = np.ma.filled(axes[1].images[0].get_array(), np.nan)
    np.testing.assert_array_equal(shown, weight)
    drawn(axes[0])
    for panel in axes:
        assert [label.get_text() for label in panel.get_yticklabels()] == names
        assert panel.images[0].norm.vmin == -panel.images[0].norm.vmax
        assert panel.get_xlabel() == "to unit"
    assert axes[0].get_ylabel() == "from unit"
    assert [bar.get_ylabel() for bar in axes[0].figure.axes[2:]] == ["deletion", "true weight"]


def test_of_several_measures_the_first_is_shown() -> None:
    found = couplings("lagged_correlation", "deletion")
    (axes,) = plots.coupling_matrix(found)
    assert axes.figure.axes[1].get_ylabel() == "lagged correlation"
    best = np.where(OFF_DIAGONAL, found["score"].values[0], -np.inf).max()
    assert np.nanmax(np.ma.filled(axes.images[0].get_array(), np.nan)) == best


def test_the_curve_is_that_of_sklearn() -> None:
    found = couplings("deletion", "lagged_correlation")
    found["score"][0, 2, 3] = np.nan
    axes = plots.coupling_roc(found, truth())
    edge = truth()["weight"].sel(unit=UNITS, unit_to=UNITS).values != 0
    for number, line in enumerate(axes.get_lines()[1:]):
        score = found["score"].values[number]
        pairs = OFF_DIAGONAL & np.isfinite(score)
        false, true, _ = roc_curve(edge[pairs], score[pairs], drop_intermediate=False)
        np.testing.assert_allclose(line.get_xdata(), false)
        np.testing.assert_allclose(line.get_ydata(), true)
        auc = roc_auc_score(edge[pairs], score[pairs])
        name = ("deletion", "lagged correlation")[number]
        assert line.get_label() == f"{name}: AUC {auc:.2f}"
    styles = {(line.get_color(), line.get_linestyle()) for line in axes.get_lines()[1:]}
    assert len(styles) == 2
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "share of other pairs",
        "share of edges found",
    )


def test_what_does_not_fit_is_refused() -> None:
    found = couplings()
    with pytest.raises(EmptySelectionError, match=r"(?s)no variable 'score'.*known: weight"):
        plots.coupling_matrix(truth())
    with pytest.raises(EmptySelectionError, match="no variable 'weight'"):
        plots.coupling_roc(found, found)
    with pytest.raises(EmptySelectionError, match=r"(?s)truth lacks units.*found: a"):
        plots.coupling_matrix(found, truth().drop_sel(unit=["a"], unit_to=["a"]))
    with pytest.raises(EmptySelectionError, match="no pair of units has a score"):
        plots.coupling_matrix(found.assign(score=found["score"] * np.nan))
    with pytest.raises(DataError, match="same units in rows and columns"):
        plots.coupling_matrix(found.isel(unit_to=[1, 0, 2, 3, 4]))
    with pytest.raises(DegenerateInputError, match="pairs with and without one"):
        plots.coupling_roc(found, truth().assign(weight=truth()["weight"] * 0.0))
