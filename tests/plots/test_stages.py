"""Graphs and flows of communities over the stages of an experiment."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.collections import EllipseCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle

from neurodyn import plots
from neurodyn import recording as rec
from neurodyn.errors import EmptySelectionError

from .examples import assert_no_name_covers_another, drawn, names_of

STAGES = ("before", "butanone", "after the butanone")


def stages_of(community: Any, **attrs: Any) -> xr.Dataset:
    community = np.asarray(community)
    n_stages, n_nodes = community.shape
    weights = np.random.default_rng(2).uniform(0.1, 1.0, (n_stages, n_nodes, n_nodes))
    weights = np.triu(weights, 1) + np.triu(weights, 1).transpose(0, 2, 1)
    nodes = [f"AV{index:02d}" for index in range(n_nodes)]
    return rec.results(
        {
            "expected_affinity": (("stage", "roi", "roi_to"), weights),
            "stage_community": (("stage", "roi"), community),
        },
        {"stage": list(STAGES[:n_stages]), "roi": nodes, "roi_to": nodes},
        **attrs,
    )


@pytest.fixture
def stages() -> xr.Dataset:
    return stages_of(
        [
            [0, 0, 0, 0, 1, 1, 1, 2, 2, -1],
            [0, 0, 0, 1, 1, 1, 1, 2, -1, -1],
            [1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
        ]
    )


def ribbons_of(axes: Any) -> list[tuple[float, float, float, float, float]]:
    """Return left, right, height at the left, height at the right, upper edge at the left."""
    found = []
    for patch in axes.patches:
        if isinstance(patch, PathPatch):
            points = patch.get_path().vertices
            left, right = points[0], points[3]
            found.append(
                (left[0], right[0], points[7, 1] - left[1], points[4, 1] - right[1], left[1])
            )
    return found


def blocks_of(axes: Any) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def flows(community: Any) -> list[Counter[tuple[int, int]]]:
    rows = np.asarray(community).tolist()
    return [Counter(zip(before, after)) for before, after in itertools.pairwise(rows)]


def test_ribbons_are_as_high_as_nodes_flow(stages: xr.Dataset) -> None:
    axes = plots.alluvial(stages)
    ribbons = ribbons_of(axes)
    for place, expected in enumerate(flows(stages["stage_community"].values)):
        here = [ribbon for ribbon in ribbons if place < ribbon[0] < place + 1]
        assert sorted(height for _, _, height, _, _ in here) == pytest.approx(
            sorted(expected.values())
        )
    assert all(left == pytest.approx(right) for _, _, left, right, _ in ribbons)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.integers(-1, 4), min_size=12, max_size=12), min_size=2, max_size=3))
def test_ribbons_fill_their_blocks(community: list[list[int]]) -> None:
    axes = plots.alluvial(stages_of(community), ax=Figure().add_subplot())
    blocks, ribbons = blocks_of(axes), ribbons_of(axes)
    for place, labels in enumerate(community):
        column = [block for block in blocks if abs(block.get_x() + 0.17 - place) < 0.01]
        assert sorted(block.get_height() for block in column) == sorted(Counter(labels).values())
        edges = sorted((block.get_y(), block.get_y() + block.get_height()) for block in column)
        assert all(high < low for (_, high), (low, _) in itertools.pairwise(edges))
        if place + 1 < len(community):
            here = [ribbon for ribbon in ribbons if place < ribbon[0] < place + 1]
            assert sum(height for _, _, height, _, _ in here) == pytest.approx(12.0)
            for block in column:
                low, high = block.get_y() - 1e-9, block.get_y() + block.get_height() - 1e-9
                leaving = sum(ribbon[2] for ribbon in here if low <= ribbon[4] < high)
                assert leaving == pytest.approx(block.get_height())


def test_blocks_say_their_number_and_size(stages: xr.Dataset) -> None:
    axes = plots.alluvial(stages, ax=Figure((8.0, 6.0)).add_subplot())
    texts = [name.get_text() for name in names_of(axes)]
    first = ["0 (4)", "1 (3)", "2 (2)", "none (1)"]
    assert texts[:4] == first
    # the grey block is the lowest of its column; the largest communities are the first colours
    colors = [to_hex(block.get_facecolor()) for block in blocks_of(axes)]
    assert colors[:4] == ["#0072b2", "#d55e00", "#009e73", "#9098a1"]
    assert sorted(texts[-2:]) == ["0 (7)", "1 (3)"]
    # community 1 goes where community 0 was, and so stands above it
    assert texts[-2:] == ["1 (3)", "0 (7)"]
    shown = assert_no_name_covers_another(axes)
    assert len(shown) == len(texts)
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "before",
        "butanone",
        "after the\nbutanone",
    ]


def test_communities_may_have_names(stages: xr.Dataset) -> None:
    named = stages.assign_attrs(community_name=["1.0", "1.1", "2.0"])
    texts = [name.get_text() for name in names_of(plots.alluvial(named))]
    assert texts[:4] == ["1.0 (4)", "1.1 (3)", "2.0 (2)", "none (1)"]


def test_blocks_too_low_for_their_label_have_none() -> None:
    community = np.zeros((2, 120), dtype=int)
    community[:, :2] = 1
    axes = plots.alluvial(stages_of(community), ax=Figure((4.0, 2.5)).add_subplot())
    assert assert_no_name_covers_another(axes) == ["0 (118)", "0 (118)"]


def test_numbers_of_communities_need_not_be_small() -> None:
    axes = plots.alluvial(stages_of([[31, 31, 7], [31, 7, 7]]))
    texts = [name.get_text() for name in names_of(axes)]
    assert texts == ["7 (1)", "31 (2)", "7 (2)", "31 (1)"]
    assert {to_hex(b.get_facecolor()) for b in blocks_of(axes)} == {"#0072b2", "#d55e00"}


def test_strip_draws_each_stage_on_one_scale(stages: xr.Dataset) -> None:
    stages["expected_affinity"].values[1] *= 0.01
    figure = Figure(figsize=(6.0, 2.0), layout="constrained")
    drawn_axes = plots.graph_strip(stages, n_edges=10, figure=figure)
    assert plt.get_fignums() == []
    assert [axes.get_title() for axes in drawn_axes] == list(STAGES)
    rows, columns = np.triu_indices(10, 1)
    weights = stages["expected_affinity"].values[:, rows, columns]
    least = np.sort(weights.ravel())[-30]
    lines = [
        next(c for c in axes.collections if isinstance(c, PathCollection)) for axes in drawn_axes
    ]
    assert [len(c.get_paths()) for c in lines] == (weights >= least).sum(axis=1).tolist()
    assert len(lines[1].get_paths()) == 0
    # width is a share of the largest weight of all stages
    widest = [np.max(c.get_linewidths()) for c in (lines[0], lines[2])]
    expected = 1.2 * (0.25 + 0.75 * weights[[0, 2]].max(axis=1) / weights.max())
    assert np.allclose(widest, expected)


def test_strip_keeps_places_and_changes_colours(stages: xr.Dataset) -> None:
    first, second, _ = plots.graph_strip(stages)
    nodes = [
        next(c for c in axes.collections if isinstance(c, EllipseCollection))
        for axes in (first, second)
    ]
    assert np.array_equal(nodes[0].get_offsets(), nodes[1].get_offsets())
    colors = [[to_hex(color) for color in c.get_facecolors()] for c in nodes]
    assert colors[0][3] == "#0072b2"
    assert colors[1][3] == colors[0][4] == "#d55e00"
    assert colors[0][9] == colors[1][8] == "#9098a1"
    drawn(first)


def test_many_stages_go_over_several_rows() -> None:
    many = stages_of(np.zeros((3, 4), dtype=int))
    many = xr.concat([many] * 3, "stage").isel(stage=slice(8))
    axes = plots.graph_strip(many.assign_coords(stage=[f"stage {k}" for k in range(8)]))
    assert len(axes) == len(axes[0].figure.axes) == 8
    tops = [round(one.get_position().y1, 3) for one in axes]
    assert len(set(tops[:6])) == len(set(tops[6:])) == 1
    assert tops[0] > tops[6]


def test_no_affinity_is_no_line(stages: xr.Dataset) -> None:
    stages["expected_affinity"].values[:] = 0.0
    for axes in plots.graph_strip(stages):
        lines = next(c for c in axes.collections if isinstance(c, PathCollection))
        assert len(lines.get_paths()) == 0


def test_what_is_missing_is_named(stages: xr.Dataset) -> None:
    renamed = stages.rename(stage_community="stage_communities")
    for draw in (plots.alluvial, plots.graph_strip):
        with pytest.raises(EmptySelectionError, match=r"no variable 'stage_community'(.|\n)*ties'"):
            draw(renamed)
        with pytest.raises(EmptySelectionError, match=r"no stages to draw(.|\n)*'stage': 0"):
            draw(stages.isel(stage=slice(0)))
    with pytest.raises(EmptySelectionError, match="no variable 'expected_affinity'"):
        plots.graph_strip(stages.drop_vars("expected_affinity"))
    assert plt.get_fignums() == []
