"""Components of a connectome: matrix, graph, time course, animals."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.collections import EllipseCollection, PathCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, Wedge

from neurodyn import plots
from neurodyn import recording as rec
from neurodyn.errors import ConfigError, DataError, EmptySelectionError
from neurodyn.plots.networks import block_order, community_colors, ring, strongest_pairs

from .examples import assert_no_name_covers_another, connectome, drawn, names_of

STIMULI = [("butanone", 2.0, 4.0), ("NaCl", 8.0, 10.0)]


@pytest.fixture
def results() -> xr.Dataset:
    return connectome()


@pytest.fixture
def no_pyplot() -> Iterator[None]:
    """Nothing may be made or made current in pyplot."""
    assert plt.get_fignums() == []
    yield
    assert plt.get_fignums() == []


def axes_of(size: tuple[float, float] = (5.0, 5.0)) -> Any:
    return Figure(figsize=size, layout="constrained").add_subplot()


def edges_of(axes: Any) -> PathCollection:
    return next(c for c in axes.collections if isinstance(c, PathCollection))


def nodes_of(axes: Any) -> EllipseCollection:
    return next(c for c in axes.collections if isinstance(c, EllipseCollection))


def test_matrix_is_ordered_by_community_then_connection(results: xr.Dataset) -> None:
    axes = plots.affinity_matrix(results, "2")
    weights = results["pair_factor"].values[1]
    community = results["community"].values[1]
    inside = (weights * (community[:, None] == community)).sum(axis=1)
    order = sorted(range(9), key=lambda node: (community[node], -inside[node]))
    shown = np.ma.filled(axes.images[0].get_array(), np.nan)
    expected = weights[np.ix_(order, order)]
    np.fill_diagonal(expected, np.nan)
    assert np.array_equal(shown, expected, equal_nan=True)
    drawn(axes)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == results["roi"].values[order].tolist()
    assert axes.get_title(loc="left") == "component 2"


def test_matrix_has_borders_and_a_coloured_edge(results: xr.Dataset) -> None:
    axes = plots.affinity_matrix(results, "1")
    assert sorted(line.get_ydata()[0] for line in axes.lines)[-2:] == [2.5, 5.5]
    assert len(axes.lines) == 4
    patches = [p for p in axes.patches if isinstance(p, Rectangle)]
    rows = [(p.get_y(), p.get_height(), to_hex(p.get_facecolor())) for p in patches[::2]]
    colors = community_colors([0, 1, 2])
    assert rows == [(-0.5, 3.0, colors[0]), (2.5, 3.0, colors[1]), (5.5, 3.0, colors[2])]
    assert [text.get_text() for text in names_of(axes)] == ["0", "1", "2"]
    assert axes.figure.axes[-1].get_ylabel() == "weight of pair"


def test_matrix_in_other_orders(results: xr.Dataset) -> None:
    no_communities = results.drop_vars("community")
    axes = plots.affinity_matrix(no_communities, "1", order="given")
    shown = np.ma.filled(axes.images[0].get_array(), np.nan)
    off_diagonal = ~np.eye(9, dtype=bool)
    assert np.array_equal(shown[off_diagonal], results["pair_factor"].values[0][off_diagonal])
    assert not axes.patches
    chosen = plots.affinity_matrix(results, "1", order=["AV004", "AV001"])
    shown = np.ma.filled(chosen.images[0].get_array(), np.nan)
    assert shown[0, 1] == results["pair_factor"].values[0, 4, 1]
    with pytest.raises(EmptySelectionError, match=r"no node 'AV01'(.|\n)*'AV001'"):
        plots.affinity_matrix(results, "1", order=["AV004", "AV01"])
    with pytest.raises(ConfigError, match=r"invalid value for order(.|\n)*'community'"):
        plots.affinity_matrix(results, "1", order="communities")


def test_pairs_never_seen_are_gaps(results: xr.Dataset) -> None:
    results["pair_factor"].values[0, 2, 5] = results["pair_factor"].values[0, 5, 2] = np.nan
    axes = plots.affinity_matrix(results, "1", order="given")
    drawn(axes)
    image = axes.images[0]
    assert image.to_rgba(image.get_array())[2, 5, 3] == 0.0
    assert image.to_rgba(image.get_array())[2, 4, 3] == 1.0
    pairs, _ = strongest_pairs(results["pair_factor"].values[0], 100)
    assert len(pairs) == 35
    assert [2, 5] not in pairs.tolist()
    graph = plots.component_graph(results, "1", n_edges=100)
    assert len(edges_of(graph).get_paths()) == 35


def test_a_component_of_few_pairs_keeps_its_colours(results: xr.Dataset) -> None:
    sparse = connectome(40, 4)
    sparse["pair_factor"].values[:] = 0.0
    sparse["pair_factor"].values[0, 0, 1] = sparse["pair_factor"].values[0, 1, 0] = 0.7
    axes = plots.affinity_matrix(sparse, "1")
    assert axes.images[0].get_clim() == (0.0, 0.7)
    graph = plots.component_graph(sparse, "1")
    assert len(edges_of(graph).get_paths()) == 1
    # and none at all is an empty picture, not an error
    nothing = plots.component_graph(sparse, "2")
    assert len(edges_of(nothing).get_paths()) == 0
    drawn(nothing)
    drawn(plots.affinity_matrix(sparse, "2"))


@pytest.mark.usefixtures("no_pyplot")
def test_graph_draws_the_strongest_edges_between_coloured_nodes(results: xr.Dataset) -> None:
    axes = axes_of()
    assert plots.component_graph(results, "1", n_edges=7, ax=axes) is axes
    edges, nodes = edges_of(axes), nodes_of(axes)
    weights, community = results["pair_factor"].values[0], results["community"].values[0]
    points = nodes.get_offsets()
    assert np.allclose(np.linalg.norm(points, axis=1), 1.0)
    assert [to_hex(color) for color in nodes.get_facecolors()] == community_colors(community)
    drawn_pairs = {
        tuple(sorted(int(np.linalg.norm(points - end, axis=1).argmin()) for end in ends))
        for ends in (path.vertices[[0, -1]] for path in edges.get_paths())
    }
    rows, columns = np.triu_indices(9, 1)
    strongest = np.argsort(-weights[rows, columns])[:7]
    assert drawn_pairs == {(int(rows[k]), int(columns[k])) for k in strongest}
    # the widest line is the strongest pair
    best = edges.get_paths()[int(np.argmax(edges.get_linewidths()))].vertices[[0, -1]]
    ends = sorted(int(np.linalg.norm(points - end, axis=1).argmin()) for end in best)
    assert ends == sorted(divmod(int(weights.argmax()), 9))


def test_edges_inside_a_community_have_its_colour(results: xr.Dataset) -> None:
    axes = plots.component_graph(results, "1", n_edges=36)
    points, community = nodes_of(axes).get_offsets(), results["community"].values[0]
    colors = community_colors([0, 1, 2])
    for path, color in zip(edges_of(axes).get_paths(), edges_of(axes).get_edgecolors()):
        nodes = [np.linalg.norm(points - end, axis=1).argmin() for end in path.vertices[[0, -1]]]
        first, second = community[nodes]
        expected = (
            to_rgba(colors[first]) if first == second else to_rgba(plt.rcParams["text.color"])
        )
        assert np.allclose(color[:3], expected[:3])


def test_ring_holds_communities_side_by_side_with_gaps(results: xr.Dataset) -> None:
    axes = plots.component_graph(results, "1")
    arcs = [patch for patch in axes.patches if isinstance(patch, Wedge)]
    assert [to_hex(arc.get_facecolor()) for arc in arcs] == community_colors([0, 1, 2])
    covered = sum(arc.theta2 - arc.theta1 for arc in arcs)
    places = ring(results["community"].values[0], np.argsort(results["community"].values[0]))
    assert covered == pytest.approx(np.rad2deg(9 * places.spacing))
    assert covered < 360.0
    assert [text.get_text() for text in names_of(axes)[:3]] == ["0", "1", "2"]
    # nodes do not grow into their neighbours
    assert nodes_of(axes).get_widths().max() < places.spacing
    assert len(names_of(axes)) == 3 + 9
    assert len(names_of(plots.component_graph(results, "1", names=False))) == 3


def test_no_communities_is_one_closed_ring(results: xr.Dataset) -> None:
    whole = results.assign(community=results["community"] * 0)
    axes = plots.component_graph(whole, "1")
    (arc,) = [patch for patch in axes.patches if isinstance(patch, Wedge)]
    assert arc.theta2 - arc.theta1 == pytest.approx(360.0)
    matrix = plots.affinity_matrix(whole, "1")
    assert not matrix.lines
    assert len(matrix.patches) == 2
    figure = Figure()
    plots.component_panel(whole, "1", figure=figure)
    assert figure.get_suptitle() == "component 1, no communities"


def test_nodes_without_community_are_grey_and_last(results: xr.Dataset) -> None:
    results["community"].values[0, :2] = -1
    axes = plots.affinity_matrix(results, "1")
    drawn(axes)
    last = [label.get_text() for label in axes.get_yticklabels()][-2:]
    assert sorted(last) == ["AV000", "AV001"]
    assert names_of(axes)[-1].get_text() == "–"
    graph = plots.component_graph(results, "1")
    assert to_hex(nodes_of(graph).get_facecolors()[0]) == "#9098a1"


def test_nodes_at_given_positions(results: xr.Dataset) -> None:
    at = np.random.default_rng(1).normal(size=(9, 2))
    names = results["roi"].values
    by_name = dict(zip(names[::-1], at[::-1].tolist()))
    axes = plots.component_graph(results, "1", positions=by_name)
    assert np.allclose(nodes_of(axes).get_offsets(), at)
    table = xr.DataArray(at[::-1], {"roi": names[::-1]}, ("roi", "axis"))
    axes = plots.component_graph(results, "1", positions=table)
    assert np.allclose(nodes_of(axes).get_offsets(), at)
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["0 (3)", "1 (3)", "2 (3)"]
    low, high = axes.get_xlim()
    assert low < at[:, 0].min() < at[:, 0].max() < high
    del by_name["AV003"]
    with pytest.raises(EmptySelectionError, match=r"no position of 'AV003'(.|\n)*1 of 9"):
        plots.component_graph(results, "1", positions=by_name)
    in_one_place = dict.fromkeys(names.tolist(), (1.0, 1.0))
    drawn(plots.component_graph(results, "1", positions=in_one_place))


@pytest.mark.parametrize("size", [(2.0, 2.0), (4.6, 4.6), (9.0, 9.0)])
def test_names_of_120_nodes_never_overlap(size: tuple[float, float]) -> None:
    many = connectome(120, 9)
    axes = axes_of(size)
    plots.component_graph(many, "1", ax=axes)
    shown = assert_no_name_covers_another(axes)
    nodes = [name for name in shown if name.startswith("AV")]
    assert 10 <= len(nodes) <= 120
    if size[0] > 8:
        assert len(nodes) == 120
    matrix = axes_of(size)
    plots.affinity_matrix(many, "1", ax=matrix)
    renderer = drawn(matrix)
    boxes = [
        label.get_window_extent(renderer) for label in matrix.get_yticklabels() if label.get_text()
    ]
    heights = sorted((box.y0, box.y1) for box in boxes)
    assert len(boxes) >= 5
    # boxes hold a little air above and below the letters
    assert all(high - 2.0 <= low for (_, high), (low, _) in itertools.pairwise(heights))


def test_names_at_crowded_positions_give_way_to_better_connected_nodes() -> None:
    many = connectome(100, 5)
    crowd = dict(zip(many["roi"].values, np.random.default_rng(0).uniform(size=(100, 2)).tolist()))
    axes = plots.component_graph(many, "1", positions=crowd)
    shown = assert_no_name_covers_another(axes)
    degree = many["pair_factor"].values[0].sum(axis=1)
    assert many["roi"].values[degree.argmax()] in shown
    assert len(shown) < 100


def test_time_course_over_shaded_stimuli(results: xr.Dataset) -> None:
    axes = axes_of()
    assert plots.time_factor(results, "2", stimuli=STIMULI, ax=axes) is axes
    (line,) = axes.lines
    assert np.array_equal(line.get_xdata(), results["time"].values)
    assert np.array_equal(line.get_ydata(), results["time_factor"].values[1])
    assert [(p.get_x(), p.get_width()) for p in axes.patches] == [(2.0, 2.0), (8.0, 2.0)]
    first, second = (p.get_facecolor()[:3] for p in axes.patches)
    assert first != second
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["butanone", "NaCl"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time [s]", "time factor 2")
    assert axes.get_ylim()[0] == 0.0


def test_stimuli_as_trials_of_all_animals(results: xr.Dataset) -> None:
    table = rec.trials(
        [2.0, 8.0, 2.0, 8.0],
        [4.0, 10.0, 4.0, 10.0],
        columns={
            "stimulus": ["butanone", "NaCl", "butanone", "water"],
            "animal": ["worm 1", "worm 1", "worm 2", "worm 2"],
        },
    )
    axes = plots.time_factor(results, "1", stimuli=table)
    # both animals got butanone first, but then not the same
    assert len(axes.patches) == 2
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["butanone", "differs by animal"]
    unnamed = plots.time_factor(results, "1", stimuli=rec.trials([1.0], [2.0]))
    assert [text.get_text() for text in unnamed.get_legend().get_texts()] == ["stimulus"]
    away = plots.time_factor(results, "1", stimuli=[("late", 100.0, 110.0)])
    assert away.get_legend() is None
    with pytest.raises(DataError, match=r"ends before it begins(.|\n)*'odd'"):
        plots.time_factor(results, "1", stimuli=[("odd", 3.0, 2.0)])


def test_segments_of_aligned_results_are_shaded(results: xr.Dataset) -> None:
    segment = np.repeat(["", "butanone", "NaCl", "butanone"], 20)
    aligned = results.assign_coords(segment=("time", segment))
    axes = plots.time_factor(aligned, "1")
    spans = [(p.get_x(), p.get_width()) for p in axes.patches]
    # the record ends at its last sample, 19.75 s
    assert spans == [(5.0, 5.0), (10.0, 5.0), (15.0, 4.75)]
    colors = [p.get_facecolor() for p in axes.patches]
    assert colors[0] == colors[2] != colors[1]
    told = plots.time_factor(aligned, "1", stimuli=STIMULI)
    assert len(told.patches) == 2


def test_animals_are_bars_in_counting_order(results: xr.Dataset) -> None:
    axes = plots.animal_factor(results, "1")
    heights = [bar.get_height() for bar in axes.patches]
    assert np.allclose(heights, results["animal_factor"].values[0, [2, 1, 0]])
    drawn(axes)
    assert [t.get_text() for t in axes.get_xticklabels()] == ["worm 1", "worm 2", "worm 10"]
    assert axes.get_title(loc="left") == "shared by 2.2 of 3"
    assert axes.get_xlabel() == "animal"


def test_one_animal_is_one_bar(results: xr.Dataset) -> None:
    axes = plots.animal_factor(connectome(n_animals=1), "1")
    (bar,) = axes.patches
    low, high = axes.get_xlim()
    assert bar.get_width() < 0.5 * (high - low)
    assert axes.get_title(loc="left") == ""


def test_names_of_many_animals_are_thinned() -> None:
    axes = axes_of((2.5, 2.0))
    plots.animal_factor(connectome(n_animals=90), "1", ax=axes)
    renderer = drawn(axes)
    boxes = [t.get_window_extent(renderer) for t in axes.get_xticklabels() if t.get_text()]
    assert len(axes.patches) == 90
    assert 3 <= len(boxes) < 90
    assert all(left.x1 <= right.x0 for left, right in itertools.pairwise(boxes))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.usefixtures("no_pyplot")
def test_panel_is_a_row_of_three(results: xr.Dataset, dark: bool) -> None:
    with plots.theme(dark=dark):
        figure = Figure(figsize=(9.0, 2.9), layout="constrained")
        graph, time, animals = plots.component_panel(results, "1", stimuli=STIMULI, figure=figure)
    renderer = drawn(graph)
    assert figure.get_suptitle() == "component 1, 3 communities, log-normal weights"
    assert len(edges_of(graph).get_paths()) == 36
    assert len(time.patches) == 2
    assert len(animals.patches) == 3
    # no panel reaches into another
    boxes = [axes.get_tightbbox(renderer) for axes in (graph, time, animals)]
    assert boxes[0].x1 <= boxes[1].x0
    assert boxes[1].x1 <= boxes[2].x0


def test_panels_fill_parts_of_a_figure_and_leave_out_long_names(results: xr.Dataset) -> None:
    long_names = [f"LH_Default_PFC_{index}" for index in range(9)]
    long = results.assign_coords(roi=long_names, roi_to=long_names)
    figure = Figure(figsize=(9.0, 5.8), layout="constrained")
    for part, component in zip(figure.subfigures(2, 1), ("1", "2")):
        graph, *_ = plots.component_panel(long, component, figure=part)
        assert len(names_of(graph)) == 3
        drawn(graph)
    assert plots.component_panel(results, "2")[0].figure is plt.gcf()


def test_units_are_nodes_as_well(results: xr.Dataset) -> None:
    units = results.rename(roi="unit", roi_to="unit_to")
    axes = plots.affinity_matrix(units, "1")
    assert axes.images[0].get_array().shape == (9, 9)
    assert len(edges_of(plots.component_graph(units, "1", n_edges=5)).get_paths()) == 5
    with pytest.raises(EmptySelectionError, match=r"no node dims(.|\n)*'roi', 'to'"):
        plots.affinity_matrix(results.rename(roi_to="to"), "1", order="given")


DRAW = {
    "pair_factor": plots.affinity_matrix,
    "community": plots.component_graph,
    "time_factor": plots.time_factor,
    "animal_factor": plots.animal_factor,
}


@pytest.mark.parametrize("name", DRAW)
def test_what_is_missing_is_named(results: xr.Dataset, name: str) -> None:
    renamed = results.rename({name: f"{name}s"})
    with pytest.raises(EmptySelectionError, match=rf"no variable '{name}'(.|\n)*'{name}s'"):
        DRAW[name](renamed, "1")
    with pytest.raises(EmptySelectionError, match=r"no component '12'(.|\n)*'1'(.|\n)*known: 1, 2"):
        DRAW[name](results, "12")
    with pytest.raises(EmptySelectionError, match=rf"no variable '{name}'"):
        plots.component_panel(renamed, "1")
    assert plt.get_fignums() == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-1, 6), min_size=1, max_size=30), st.integers(0, 2**31))
def test_order_and_ring_hold_every_node_once(labels: list[int], seed: int) -> None:
    community = np.array(labels)
    weights = np.random.default_rng(seed).uniform(size=(len(labels),) * 2)
    order = block_order(weights, community)
    assert sorted(order.tolist()) == list(range(len(labels)))
    ordered = community[order]
    n_changes = int((np.diff(ordered) != 0).sum())
    assert n_changes == len(set(labels)) - 1
    places = ring(community, order)
    clockwise = (np.pi / 2.0 - places.angles[order]) % (2.0 * np.pi)
    assert (np.diff(clockwise) > 0.99 * places.spacing).all()
    assert len(np.unique(places.points.round(9), axis=0)) == len(labels)


def test_twenty_communities_have_twenty_colours_on_each_page() -> None:
    for dark in (False, True):
        with plots.theme(dark=dark):
            colors = community_colors(range(21))
        assert len(set(colors)) == 20
        assert colors[20] == colors[0]
