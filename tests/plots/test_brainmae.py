"""Matrices by network, attention on the clock of a run, and a run retold."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt

from neurodyn import plots
from neurodyn import recording as rec
from neurodyn.errors import EmptySelectionError
from neurodyn.plots.style import ink

from .examples import drawn, names_of

NETWORK = np.array(["motor", "", "visual", "motor", "visual"])


def matrices(network: bool = True) -> xr.Dataset:
    rng = np.random.default_rng(0)
    similarity = rng.uniform(-0.5, 0.5, (5, 5))
    coords = {"roi": list("abcde"), "block": [1, 2]}
    if network:
        coords["network"] = ("roi", NETWORK)
    attention = rng.dirichlet(np.ones(5), (2, 3, 5))
    variables = {
        "similarity": (("roi", "roi_to"), similarity),
        "attention": (("block", "head", "roi", "roi_to"), attention),
    }
    return rec.results(variables, coords)


def test_regions_stand_by_network() -> None:
    results = matrices()
    axes = plots.embedding_matrix(results)
    order = [0, 3, 2, 4, 1]
    expected = results["similarity"].values[np.ix_(order, order)].copy()
    np.fill_diagonal(expected, np.nan)
    shown = np.ma.filled(axes.images[0].get_array(), np.nan)
    np.testing.assert_array_equal(shown, expected)
    assert axes.images[0].norm.vmin == -axes.images[0].norm.vmax
    drawn(axes)
    assert [name.get_text() for name in names_of(axes)] == ["motor", "visual", "none"]
    assert len(axes.patches) == 3
    assert [line.get_ydata()[0] for line in axes.lines[::2]] == [1.5, 3.5]


def test_without_networks_regions_are_named() -> None:
    axes = plots.embedding_matrix(matrices(network=False))
    drawn(axes)
    assert [text.get_text() for text in axes.get_yticklabels()] == list("abcde")


def test_attention_is_a_multiple_of_chance() -> None:
    results = matrices()
    axes = plots.attention_matrix(results, block=2)
    order = [0, 3, 2, 4, 1]
    mean = results["attention"].values[1].mean(axis=0)[np.ix_(order, order)] * 4
    shown = np.ma.filled(axes.images[0].get_array(), np.nan)
    off = ~np.eye(5, dtype=bool)
    np.testing.assert_allclose(shown[off], mean[off])
    assert axes.images[0].norm.vmin == 0.0
    with pytest.raises(EmptySelectionError, match=r"(?s)no block 3.*known: 1, 2"):
        plots.attention_matrix(results, block=3)


def over_time() -> xr.Dataset:
    """Two runs; the second window of the first begins within the first window's last segment."""
    weights = np.random.default_rng(0).dirichlet(np.ones(5), (3, 2, 4))[..., 1:]
    start = np.array([0.0, 35.0, 0.0])
    coords = {
        "run": ("window", ["a", "a", "b"]),
        "layer": [1, 2],
        "segment_time": (("window", "segment"), start[:, None] + 10 * np.arange(4)),
    }
    dims = ("window", "layer", "head", "segment")
    found = rec.results({"cls_attention": (dims, weights)}, coords)
    return found.assign_attrs(segment_duration=10.0)


def test_attention_on_the_clock_of_the_run() -> None:
    results = over_time()
    events = [("heat", 12.0, 18.0), ("rating", 50.0, 60.0)]
    axes = plots.attention_over_time(results, events=events)
    mean = results["cls_attention"].mean("head").values
    first, last = (p for p in axes.patches if hasattr(p, "get_data"))
    values, edges, _ = last.get_data()
    assert edges.tolist() == [0, 10, 20, 30, 35, 45, 55, 65, 75]
    np.testing.assert_allclose(values, np.concatenate([mean[0, 1], mean[1, 1]]))
    assert first.get_alpha() == 0.4
    chance = axes.lines[0].get_ydata()[0]
    assert chance == pytest.approx(1 / 5)
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["layer 1", "layer 2", "all alike", "heat", "rating"]
    assert axes.get_xlabel() == "time in a [s]"
    other = plots.attention_over_time(results, "b")
    assert other.get_xlim() == (0.0, 40.0)
    with pytest.raises(EmptySelectionError, match=r"(?s)no run 'c'.*known: a, b"):
        plots.attention_over_time(results, "c")


def test_one_segment_has_a_width() -> None:
    results = over_time().isel(segment=[0], window=[0]).mean("head")
    axes = plots.attention_over_time(results.drop_attrs())
    assert axes.get_xlim() == (0.0, 1.0)


def example() -> xr.Dataset:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(30, 5))
    told = truth * [0.9, 0.1, 0.5, 0.7, np.nan]
    variables = {
        "bold": (("time", "roi"), truth),
        "reconstruction": (("time", "roi"), told),
        "r2": ("roi", [0.99, 0.2, 0.75, 0.9, np.nan]),
    }
    return rec.results(variables, {"time": 2.0 * np.arange(30), "roi": list("abcde")})


def test_the_best_the_middle_and_the_worst_are_retold() -> None:
    results = example()
    axes = plots.reconstruction(results)
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["a\nR² 0.99", "c\nR² 0.75", "b\nR² 0.20"]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), results["bold"].sel(roi="a"))
    assert axes.lines[0].get_color() == ink()
    offset = axes.get_yticks()[1]
    np.testing.assert_allclose(
        axes.lines[3].get_ydata(), results["reconstruction"].sel(roi="c") + offset
    )
    chosen = plots.reconstruction(results, rois=["d"])
    assert len(chosen.lines) == 2
    with pytest.raises(EmptySelectionError, match=r"(?s)no region 'z'.*known: a, b, c, d, e"):
        plots.reconstruction(results, rois=["z"])
    with pytest.raises(EmptySelectionError, match="no region 'any' to draw"):
        plots.reconstruction(results.isel(roi=[4]))


def test_what_is_missing_is_named() -> None:
    results = matrices()
    for draw, name in (
        (plots.embedding_matrix, "similarity"),
        (plots.attention_matrix, "attention"),
        (plots.attention_over_time, "cls_attention"),
        (plots.reconstruction, "bold"),
    ):
        with pytest.raises(EmptySelectionError, match=f"no variable '{name}'"):
            draw(results.drop_vars(name, errors="ignore"))
    assert plt.get_fignums() == []
