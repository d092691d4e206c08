"""Scans over ranks, restarts, and how cost grows with size."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from neurodyn import plots
from neurodyn import recording as rec
from neurodyn.errors import ConfigError, EmptySelectionError

from .examples import drawn

RANKS = np.array([1, 2, 4, 6])


@pytest.fixture
def scan() -> xr.Dataset:
    rng = np.random.default_rng(0)
    return rec.results(
        {
            "error": (("rank", "restart"), 0.5 + 0.2 / RANKS[:, None] + 0.01 * rng.random((4, 5))),
            "restart_similarity": ("rank", [1.0, 0.98, 0.9, 0.6]),
            "nuclear": ("rank", [1.0, 1.8, 2.9, 3.1]),
            "held_out_error": ("rank", [0.8, 0.7, 0.66, 0.68]),
        },
        {"rank": RANKS},
    )


def test_scan_has_three_panels(scan: xr.Dataset) -> None:
    figure = Figure(figsize=(8.0, 2.5), layout="constrained")
    errors, stability, spectrum = plots.rank_scan(scan, figure=figure)
    assert plt.get_fignums() == []
    dots = errors.collections[0].get_offsets()
    assert np.allclose(dots[:, 0], np.repeat(RANKS, 5))
    assert np.allclose(dots[:, 1], scan["error"].values.ravel())
    best, held_out = errors.lines
    assert np.allclose(best.get_ydata(), scan["error"].min("restart"))
    assert np.allclose(held_out.get_ydata(), scan["held_out_error"])
    assert [t.get_text() for t in errors.get_legend().get_texts()] == ["restarts", "held out"]
    threshold, curve = stability.lines
    assert np.allclose(threshold.get_ydata(), 0.9)
    assert np.allclose(curve.get_ydata(), scan["restart_similarity"])
    # ranks whose restarts disagree are hollow
    filled = stability.collections[0].get_facecolors()[:, 3] > 0.0
    assert filled.tolist() == [True, True, True, False]
    assert np.allclose(spectrum.lines[0].get_xydata(), np.stack([RANKS, scan["nuclear"]], axis=1))
    assert [axes.get_xlabel() for axes in (errors, stability, spectrum)] == ["rank"] * 3
    assert [tick.get_text() for tick in errors.get_xticklabels()] == ["1", "2", "4", "6"]


def test_scan_into_given_axes(scan: xr.Dataset) -> None:
    _, given = plt.subplots(1, 3)
    assert plots.rank_scan(scan, axes=given) == tuple(given)
    with pytest.raises(ConfigError, match=r"three panels(.|\n)*found: 2 axes"):
        plots.rank_scan(scan, axes=given[:2])


def test_scan_of_one_animal_or_one_restart(scan: xr.Dataset) -> None:
    # a single animal has nothing to hold out, a single restart nothing to compare with
    poor = scan.isel(restart=[0]).assign(
        held_out_error=scan["held_out_error"] * np.nan,
        restart_similarity=scan["restart_similarity"] * np.nan,
    )
    errors, stability, _ = plots.rank_scan(poor)
    assert len(errors.lines) == 1
    assert errors.get_legend() is None
    assert stability.get_ylim() == (0.0, 1.03)
    drawn(errors)
    plots.rank_scan(scan.drop_vars("held_out_error"))


def test_many_ranks_have_whole_ticks() -> None:
    ranks = np.arange(1, 31)
    long = rec.results({"error": (("rank", "restart"), 1.0 / ranks[:, None])}, {"rank": ranks})
    ticks = plots.restart_errors(long).get_xticks()
    assert len(ticks) < 30
    assert np.array_equal(ticks, np.round(ticks))


def test_restarts_of_one_factorisation_from_the_best_on() -> None:
    results = rec.results(
        {
            "restart_error": ("restart", [0.61, 0.58, 0.70]),
            "restart_similarity": ("restart", [0.95, 1.0, 0.5]),
        }
    )
    axes = plots.restart_errors(results)
    assert np.allclose(axes.collections[0].get_offsets(), [[1, 0.58], [2, 0.61], [3, 0.70]])
    filled = axes.collections[0].get_facecolors()[:, 3] > 0.0
    assert filled.tolist() == [True, True, False]
    assert axes.get_xlabel() == "restart, best first"
    same = results.assign(restart_error=("restart", [0.58, 0.58 + 1e-7, 0.58]))
    low, high = plots.restart_errors(same.drop_vars("restart_similarity")).get_ylim()
    # rounding errors are not blown up to differences
    assert high - low == pytest.approx(0.02 * 0.58, rel=0.1)


def test_what_is_missing_is_named(scan: xr.Dataset) -> None:
    for name in ("restart_similarity", "nuclear", "error"):
        with pytest.raises(EmptySelectionError, match=rf"no variable '{name}'"):
            plots.rank_scan(scan.drop_vars(name), figure=Figure())
    with pytest.raises(EmptySelectionError, match=r"no variable 'error'(.|\n)*known: nuclear"):
        plots.restart_errors(scan[["nuclear"]])
    assert plt.get_fignums() == []


def rows(**exponents: float) -> list[dict[str, object]]:
    return [
        {"n_units": size, "seconds": 1e-6 * size**exponent, "method": method.replace("_", "-")}
        for method, exponent in exponents.items()
        for size in (1000, 10, 100)
    ]


def test_growth_is_a_power_law_per_group() -> None:
    axes = plots.growth(
        rows(dense=2.0, matrix_free=1.25), "n_units", "seconds", "method", ax=Figure().add_subplot()
    )
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [t.get_text() for t in axes.get_legend().get_texts()] == [
        "dense, grows as $x^{2.00}$",
        "matrix-free, grows as $x^{1.25}$",
    ]
    assert np.allclose(axes.lines[0].get_xydata(), [[10, 1e-4], [1000, 1.0]])
    dots = axes.collections[0].get_offsets()
    assert np.allclose(dots, [[10, 1e-4], [100, 1e-2], [1000, 1.0]])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("n units", "seconds")
    drawn(axes)
    assert [t.get_text() for t in axes.get_xticklabels()] == ["10", "100", "1000"]


def test_growth_leaves_out_what_was_not_measured() -> None:
    table = [
        {"n_units": 10, "seconds": 0.1},
        {"n_units": 100, "seconds": None},
        {"n_units": 1000, "seconds": float("nan")},
        {"n_units": 1000, "seconds": 0.0},
        {"seconds": 0.3},
    ]
    axes = plots.growth(table, "n_units", "seconds")
    # one size has no slope
    assert not axes.lines
    assert axes.get_legend() is None
    with pytest.raises(EmptySelectionError, match=r"no row has both 'n_units' and 'seconds'"):
        plots.growth(table[1:], "n_units", "seconds")
    with pytest.raises(EmptySelectionError, match=r"no column 'second'(.|\n)*'seconds'"):
        plots.growth(table, "n_units", "second")
    with pytest.raises(EmptySelectionError, match=r"no column 'method'"):
        plots.growth(table, "n_units", "seconds", "method")
