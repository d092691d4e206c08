"""Eight animals with cells missing, interrupted, silent or doubly named: handled, or refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy.io import loadmat, savemat
from scipy.optimize import nnls

from neurodyn import datasets, io, plots
from neurodyn import recording as rec
from neurodyn.errors import DataError, DegenerateInputError, SchemaError
from neurodyn.models.connectome import DynamicConnectome, factorise, stages
from neurodyn.models.connectome.assembly import seen_communities
from neurodyn.report.connectome import sentence
from neurodyn.transforms import stack_animals
from neurodyn.transforms.connectivity import (
    DenseAffinity,
    differential_affinity,
    pair_matrix,
    pair_vector,
)

SMALL = {"rank": 3, "factorisation__n_restarts": 2, "factorisation__n_sweeps": 60}


@pytest.fixture(scope="module")
def worms():
    """Eight worms of 20 cells, 30 % of them missing in each, one silent wherever it is seen."""
    simulation = datasets.simulate_calcium_motifs(
        n_animals=8,
        n_cells=20,
        stimuli=("salt", "odor"),
        onset=20.0,
        interval=20.0,
        stimulus_duration=5.0,
        same_order=True,
        cells_per_stimulus=7,
        n_shared_cells=0,
        n_spontaneous_cells=5,
        n_spontaneous_events=3,
        n_silent_cells=1,
        missing_fraction=0.3,
        seed=3,
    )
    return rec.pick(simulation.recording, "signal"), simulation.truth


@pytest.fixture(scope="module")
def fitted(worms):
    return DynamicConnectome(**SMALL).fit(worms[0])


def silent_cell(truth):
    return str(truth["roi"].values[truth["silent"].values].item())


def with_values(traces, change):
    """Return traces whose values were changed in place by a function."""
    copy = traces.copy(deep=True)
    change(copy["signal"])
    return copy


def test_the_mask_is_what_was_seen(worms, fitted):
    traces, truth = worms
    seen = truth["seen"].values & ~truth["silent"].values
    both = (seen[:, :, None] & seen[:, None, :]).any(axis=0)
    expected = np.where(both | np.eye(20, dtype=bool), False, True)
    for component in fitted.components_["pair_factor"]:
        np.testing.assert_array_equal(component.isnull(), expected)
    affinity = fitted.affinity(traces)
    np.testing.assert_array_equal(affinity.mask, pair_vector(seen[:, :, None] & seen[:, None]).T)


def test_what_stands_in_masked_places_has_no_influence(worms):
    affinity = DenseAffinity.of(DynamicConnectome(**SMALL).affinity(worms[0]))
    other = affinity.values.copy()
    hidden = ~affinity.mask.T[:, None].repeat(affinity.n_time, axis=1)
    other[hidden] = np.random.default_rng(0).uniform(0, 99, int(hidden.sum()))
    options = {"n_restarts": 2, "n_sweeps": 30}
    found = factorise(affinity, 3, **options)
    xr.testing.assert_identical(factorise(replace(affinity, values=other), 3, **options), found)


def test_the_fit_is_weighted_least_squares(worms):
    """Written out with scipy: no pair can do better, given the courses and the animals."""
    affinity = DynamicConnectome(**SMALL).affinity(worms[0])
    found = factorise(affinity, 2, n_restarts=1, n_sweeps=400, tolerance=1e-9)
    tensor = np.nan_to_num(affinity.dense().values.astype(np.float64))
    weight = affinity.mask.T[:, None]
    strength, time = found["strength"].values, found["time_factor"].values
    animal, pair = found["animal_factor"].values, pair_vector(found["pair_factor"].values)
    model = np.einsum("r,rp,rt,rw->wtp", strength, np.nan_to_num(pair), time, animal)
    squares = (weight * (tensor - model) ** 2).sum(axis=(0, 1))
    error = np.sqrt(squares.sum() / (weight * tensor**2).sum())
    assert found.attrs["error"] == pytest.approx(error, rel=1e-5)
    for index in np.flatnonzero(affinity.mask.any(axis=1))[::7]:
        seen = affinity.mask[index]
        design = np.einsum("r,rt,rw->wtr", strength, time, animal[:, seen]).reshape(-1, 2)
        _, left = nnls(design, tensor[seen, :, index].ravel())
        assert squares[index] <= left**2 * (1 + 1e-3)


def test_an_interruption_is_refused_by_name(worms):
    traces, truth = worms
    animal = "worm3"
    roi = str(truth["roi"].values[truth["seen"].sel(animal=animal) & ~truth["silent"]][0])

    def interrupt(signal):
        signal.loc[{"animal": animal, "roi": roi, "time": slice(10.0, 11.0)}] = np.nan

    holed = with_values(traces, interrupt)
    with pytest.raises(DataError, match="1 traces are interrupted") as caught:
        DynamicConnectome(**SMALL).fit(holed)
    assert caught.value.where == f"animal {animal}, roi {roi}"
    assert caught.value.found == "5 of 240 samples are not finite"
    assert "on_bad='drop'" in caught.value.hint
    dropped = DynamicConnectome(**SMALL, on_bad="drop").fit(holed)
    assert dropped.components_.attrs["quality"]["interrupted_traces"] == 1
    assert dropped.data_["quality"]["interrupted_traces"] == 1
    # the same as never seen in that animal, and there alone
    without = with_values(
        traces, lambda s: s.loc.__setitem__({"animal": animal, "roi": roi}, np.nan)
    )
    expected = DynamicConnectome(**SMALL).fit(without)
    for name in ("pair_factor", "time_factor", "animal_factor", "community"):
        np.testing.assert_array_equal(dropped.components_[name], expected.components_[name])


def test_infinite_samples_are_never_dropped(worms):
    def overflow(signal):
        signal[0, 5, int(np.flatnonzero(signal[0].notnull().all("time"))[0])] = np.inf

    with pytest.raises(DataError, match="interrupted"):
        DynamicConnectome(**SMALL, on_bad="drop").fit(with_values(worms[0], overflow))


def test_a_silent_cell_is_in_no_community_and_moves_no_label(worms, fitted):
    traces, truth = worms
    silent, components = silent_cell(truth), fitted.components_
    seen_in = int(truth["seen"].sel(roi=silent).sum())
    assert components.attrs["quality"] == {"constant_traces": seen_in}
    np.testing.assert_array_equal(components["roi"], traces["roi"])
    community = components["community"]
    assert (community.sel(roi=silent) == -1).all()
    assert (community.drop_sel(roi=silent) >= 0).all()
    assert components["pair_factor"].sel(roi=silent).drop_sel(roi_to=silent).isnull().all()
    found = fitted.predict(traces)["expected_affinity"].sel(roi=silent).drop_sel(roi_to=silent)
    assert found.isnull().all()
    for row, n_communities in zip(community.values, components["n_communities"].values):
        assert sorted({*row.tolist()} - {-1}) == list(range(n_communities))
        assert (np.diff(np.bincount(row[row >= 0])) <= 0).all()


def test_the_groups_keep_their_cells(worms, fitted):
    """A label shifted by the silent cell would break the groups that are known."""
    member = worms[1]["member"].values
    off_diagonal = ~np.eye(20, dtype=bool)
    for group in member[:2]:
        inside = group[:, None] & group & off_diagonal
        across = group[:, None] & ~group
        pairs = fitted.components_["pair_factor"].values
        contrast = [np.nanmean(p[inside]) - np.nanmean(p[across]) for p in pairs]
        assert max(contrast) > 0.02


def test_everything_downstream_copes(worms, fitted):
    components, silent = fitted.components_, silent_cell(worms[1])
    assert (
        components["block_activity"].sizes["community_label"] == components["community"].max() + 1
    )
    found = stages(components, [("first", 0.0, 30.0), ("second", 30.0, 60.0)])
    assert (found["stage_community"].sel(roi=silent) == -1).all()
    assert found["expected_affinity"].sel(roi=silent).drop_sel(roi_to=silent).isnull().all()
    for component in components["component"].values.tolist():
        assert silent not in sentence(components, component)
        plots.component_panel(components, component, figure=Figure(layout="constrained"))
        plots.affinity_matrix(components, component, ax=Figure().add_subplot())
    plots.graph_strip(found, figure=Figure(layout="constrained"))
    plots.alluvial(found, ax=Figure().add_subplot())
    pytest.importorskip("mne_connectivity")
    plots.connectivity_circle(components, "1", ax=Figure().add_subplot(projection="polar"))


def test_it_is_the_same_from_its_folder(fitted, tmp_path):
    loaded = DynamicConnectome.load(fitted.save(tmp_path))
    xr.testing.assert_identical(loaded.components_, fitted.components_)


def test_a_graph_without_weights_has_no_communities():
    graph = xr.DataArray(np.zeros((4, 4)), dims=("roi", "roi_to"))
    found = seen_communities(graph)
    assert found["community"].values.tolist() == [-1] * 4
    assert (int(found["n_communities"]), str(found["family"].values)) == (0, "none")
    weights = np.full((4, 4), np.nan)
    weights[0, 1] = weights[1, 0] = 1.0
    with pytest.raises(DegenerateInputError, match="too few nodes for communities"):
        seen_communities(graph.copy(data=weights))


def test_an_animal_of_which_nothing_is_known_has_no_course(worms, fitted):
    nothing = with_values(worms[0], lambda signal: signal.__setitem__(2, np.nan))
    activity = fitted.transform(nothing)["activity"]
    assert activity[:, 2].isnull().all()
    np.testing.assert_array_equal(
        activity.drop_isel(animal=2), fitted.transform(worms[0])["activity"].drop_isel(animal=2)
    )
    score = fitted.score(nothing)
    assert np.isfinite(score["variance_explained"])
    assert score["variance_explained_by_animal"].isnull().values.tolist() == [False] * 2 + [
        True,
        *[False] * 5,
    ]


def test_two_cells_of_one_name_are_refused(worms, tmp_path):
    traces = worms[0]
    names = traces["roi"].values.copy()
    names[4] = names[1]
    with pytest.raises(SchemaError, match=f"roi labels repeat: .'{names[1]}'"):
        rec.signal(traces["signal"].values, sampling_rate=4.0, channel=names, dim="roi")
    double = traces.assign_coords(roi=names)
    animals = {str(a): double.sel(animal=a, drop=True) for a in double["animal"].values}
    with pytest.raises(
        DataError, match=rf"labels of roi repeat \(at animal worm1\)[\s\S]*{names[1]}"
    ):
        stack_animals(animals)
    with pytest.raises(DataError, match=rf"labels of roi repeat[\s\S]*found: {names[1]}"):
        DynamicConnectome(**SMALL).fit(double)
    table = tmp_path / "worm.csv"
    table.write_text("time,AVAL,RIS,AVAL\n0,1,2,3\n1,2,3,4\n")
    with pytest.raises(DataError, match=r"columns have the same name[\s\S]*AVAL"):
        io.load(table)


def test_two_cells_of_one_name_in_a_neuropal_file_are_refused(tmp_path):
    simulation = datasets.simulate_calcium_motifs(
        n_animals=2, n_cells=6, cells_per_stimulus=2, n_shared_cells=0, n_spontaneous_cells=0
    )
    path = datasets.write_calcium_motifs(simulation, tmp_path / "worms.mat")
    fields = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    fields["neurons"][2] = fields["neurons"][1]
    savemat(path, fields)
    with pytest.raises(DataError, match=r"two cells have the same name \(at .*RIH\)"):
        io.load(path)


def two_groups():
    """Three animals, six cells in two groups, so clear that every start ends in one place."""
    rng = np.random.default_rng(5)
    time = np.arange(100) / 4
    course = np.stack([np.exp(-(((time - at) / 2) ** 2)) for at in (7.0, 17.0)], axis=1)
    values = course[:, [0, 0, 0, 1, 1, 1]] * rng.uniform(0.5, 1.0, (3, 1, 6))
    values += 0.03 * rng.normal(size=values.shape)
    values[1, :, 2] = np.nan
    cells = ["a1", "a2", "a3", "b1", "b2", "b3"]
    return rec.signal(values, sampling_rate=4.0, dim="roi", channel=cells, animal=["x", "y", "z"])


TWO = DynamicConnectome(rank=2, affinity__bandwidth=1.0, factorisation__n_restarts=2)


@pytest.fixture(scope="module")
def reference():
    return TWO.clone().fit(two_groups())


def exact(data):
    """Return components at their optimum, in full precision."""
    affinity = differential_affinity(data, bandwidth=1.0, dtype=np.float64)
    return factorise(affinity, 2, n_restarts=1, n_sweeps=2000, tolerance=1e-13)


def assert_same_by_label(found, expected, tolerance):
    labels = {d: found[d] for d in ("roi", "roi_to", "animal")}
    for name in ("strength", "time_factor", "animal_factor", "pair_factor"):
        wanted = expected[name].sel({d: v for d, v in labels.items() if d in expected[name].dims})
        np.testing.assert_allclose(found[name], wanted, rtol=tolerance, atol=tolerance)


@settings(max_examples=6, deadline=None)
@given(st.permutations(range(6)), st.permutations(range(3)))
def test_another_order_permutes_the_results(reference, rois, animals):
    data = two_groups()
    shuffled = data.isel(roi=rois, animal=animals)
    # what was fitted takes cells and animals by their labels
    for method in ("transform", "predict", "score"):
        found, expected = (getattr(reference, method)(one) for one in (shuffled, data))
        for name, values in found.data_vars.items():
            labels = {d: values[d] for d in values.dims if d in ("animal", "roi", "roi_to")}
            np.testing.assert_allclose(values, expected[name].sel(labels), rtol=1e-5, atol=1e-6)
    # a new fit, from another start, finds the same: in full precision, and as the estimator does
    assert_same_by_label(exact(shuffled), exact(data), 1e-6)
    found, expected = TWO.clone().fit(shuffled).components_, reference.components_
    assert found["roi"].values.tolist() == shuffled["roi"].values.tolist()
    assert_same_by_label(found, expected, 1e-2)
    for graph in expected["pair_factor"].drop_vars("component"):
        community = seen_communities(graph)["community"].values[rois]
        again = seen_communities(graph.isel(roi=rois, roi_to=rois))["community"].values
        np.testing.assert_array_equal(community[:, None] == community, again[:, None] == again)


def test_the_affinity_of_another_order_is_the_same_to_the_bit():
    data = two_groups()
    rois, animals = [5, 1, 3, 0, 2, 4], [2, 0, 1]
    first, second = (
        pair_matrix(TWO.affinity(one).dense().values, 6)
        for one in (data, data.isel(roi=rois, animal=animals))
    )
    np.testing.assert_array_equal(second, first[animals][..., rois, :][..., rois])
