"""Edge time series and coupled derivatives against plain loops and identities."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import ConfigError, DataError, DegenerateInputError, TimebaseError
from neurodyn.provenance import history
from neurodyn.recording import bold, counts, load, save, signal
from neurodyn.transforms import smooth
from neurodyn.transforms.connectivity import as_affinity, pair_matrix
from neurodyn.transforms.connectivity.edges import (
    edge_time_series,
    multiplication_of_temporal_derivatives,
)

MTD = "multiplication_of_temporal_derivatives"


def traces(values, rate=4.0, **kwargs):
    values = np.asarray(values, dtype=np.float64)
    names = [f"cell {n}" for n in range(values.shape[-1])]
    return signal(values, sampling_rate=rate, dim="roi", channel=names, **kwargs)


def mixed(rng, *shape):
    """Traces that share some of their noise."""
    return rng.normal(size=shape) @ rng.normal(size=(shape[-1], shape[-1])) + 7.0


def plain_mtd(values, length):
    """Shine et al., 2015, one pair and window after another."""
    difference = np.diff(values, axis=0)
    difference = difference / difference.std(axis=0)
    n = values.shape[1]
    found = []
    for start in range(len(difference) - length + 1):
        part = difference[start : start + length]
        found.append([np.mean(part[:, i] * part[:, j]) for i in range(n) for j in range(i + 1, n)])
    return np.array(found)


def test_mean_over_time_is_pearson_r(rng):
    values = mixed(rng, 150, 6)
    edges = edge_time_series(traces(values))["edge_time_series"]
    assert edges.dims == ("time", "pair")
    found = pair_matrix(edges.mean("time").values, 6) + np.eye(6)
    np.testing.assert_allclose(found, np.corrcoef(values, rowvar=False), atol=1e-12)


def test_each_edge_is_a_product_of_z_scores(rng):
    values = mixed(rng, 3, 40, 5)
    edges = edge_time_series(traces(values, animal=["x", "y", "z"]))
    assert edges["edge_time_series"].dims == ("animal", "time", "pair")
    score = (values - values.mean(1, keepdims=True)) / values.std(1, keepdims=True)
    first, second = np.triu_indices(5, 1)
    np.testing.assert_allclose(
        edges["edge_time_series"], score[..., first] * score[..., second], rtol=1e-12
    )
    labels = edges["roi"].values
    assert edges["roi_from"].values.tolist() == labels[first].tolist()
    assert edges["roi_to"].values.tolist() == labels[second].tolist()
    assert edges["animal"].values.tolist() == ["x", "y", "z"]


@settings(deadline=None, max_examples=25, derandomize=True)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 6))
@pytest.mark.parametrize("measure", ["edges", "mtd"])
def test_order_of_rois_does_not_matter(measure, seed, n):
    rng = np.random.default_rng(seed)
    ds = traces(rng.normal(size=(20, n)))

    def matrices(data):
        if measure == "edges":
            found = edge_time_series(data)["edge_time_series"]
        else:
            found = multiplication_of_temporal_derivatives(data, 1.0)[MTD]
        labels = data["roi"].values
        return xr.DataArray(
            pair_matrix(found.values, n),
            {"roi": labels, "roi_to": labels},
            ["time", "roi", "roi_to"],
        )

    shuffled = ds.isel(roi=rng.permutation(n))
    expected = matrices(ds)
    found = matrices(shuffled).sel(roi=expected["roi"].values, roi_to=expected["roi_to"].values)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seconds", [0.25, 1.0, 1.25, 9.5])
def test_mtd_is_a_mean_of_products_of_differences(rng, seconds):
    values = np.cumsum(mixed(rng, 50, 4), axis=0)
    found = multiplication_of_temporal_derivatives(traces(values, start=3.0), seconds)
    length = round(seconds * 4)
    np.testing.assert_allclose(found[MTD], plain_mtd(values, length), rtol=1e-9, atol=1e-12)
    # the middle of the samples whose differences are averaged
    centre = [3.0 + np.mean(np.arange(s, s + length + 1)) / 4 for s in range(50 - length)]
    np.testing.assert_allclose(found["time"], centre)
    assert found.attrs["window"] == seconds


def test_mtd_has_the_sign_of_the_change():
    ramp = np.r_[np.zeros(20), np.arange(10.0), np.full(20, 9.0)]
    found = multiplication_of_temporal_derivatives(traces(np.stack([ramp, ramp, -ramp], 1)), 1.0)
    values = found[MTD].values
    at = np.argmin(np.abs(found["time"].values - 24.5 / 4))
    assert values[at, 0] > 3
    assert values[at, 1] == pytest.approx(-values[at, 0])
    np.testing.assert_allclose(values[:10], 0.0, atol=1e-12)


def test_nothing_crosses_a_gap_of_the_mtd(rng):
    values = rng.normal(size=(60, 3))
    hole = values.copy()
    hole[30:32, 1] = np.nan
    found = multiplication_of_temporal_derivatives(traces(hole), 1.0)
    missing = np.isnan(found[MTD].values)
    # windows of 4 differences, of 5 samples
    touched = [s for s in range(56) if s + 4 >= 30 and s <= 31]
    assert np.flatnonzero(missing[:, 0]).tolist() == touched
    assert np.flatnonzero(missing[:, 2]).tolist() == touched
    assert not missing[:, 1].any()
    assert found.attrs["quality"] == {"interrupted_windows": len(touched)}
    whole = multiplication_of_temporal_derivatives(traces(values), 1.0)
    np.testing.assert_array_equal(found[MTD][:, 1], whole[MTD][:, 1])
    jump = traces(values).isel(time=[*range(30), *range(32, 60)])
    crossed = multiplication_of_temporal_derivatives(jump, 1.0)
    missing = np.isnan(crossed[MTD].values)
    assert missing[26:30].all()
    assert missing.sum() == 4 * 3
    np.testing.assert_allclose(crossed["time"][[25, 30]], [27 / 4, 34 / 4])


def test_traces_that_cannot_be_used_are_nan_and_listed(rng):
    values = mixed(rng, 2, 40, 4)
    values[0, :, 1] = 3.0
    values[1, :, 2] = np.nan
    ds = traces(values)
    for found, name in (
        (edge_time_series(ds), "edge_time_series"),
        (multiplication_of_temporal_derivatives(ds, 1.0), MTD),
    ):
        assert found["seen"].values.tolist() == [
            [True, False, True, True],
            [True, True, False, True],
        ]
        missing = pair_matrix(np.isnan(found[name].values).all(axis=1), 4)
        assert np.isnan(found[name].values).any(axis=1).sum() == missing.sum() / 2
        assert (missing.sum(-1) == [[1, 3, 1, 1], [1, 1, 3, 1]]).all()
        assert found.attrs["quality"]["constant_traces"] == 1
        alone = ds.isel(animal=0, roi=[0, 2, 3])
        again = (
            edge_time_series(alone)
            if name == "edge_time_series"
            else multiplication_of_temporal_derivatives(alone, 1.0)
        )
        kept = found[name].isel(animal=0, pair=[1, 2, 5])
        np.testing.assert_array_equal(kept.values, again[name].values)


def test_a_straight_line_has_no_standardised_change(rng):
    values = np.stack([0.1 * np.arange(40), *rng.normal(size=(2, 40))], axis=1)
    found = multiplication_of_temporal_derivatives(traces(values), 1.0)
    assert np.isnan(found[MTD].values[:, :2]).all()
    assert np.isfinite(found[MTD].values[:, 2]).all()
    assert found.attrs["quality"] == {"straight_traces": 1}


def test_interrupted_traces_have_no_edges_unless_dropped(rng):
    values = rng.normal(size=(30, 3))
    values[4, 0] = np.nan
    with pytest.raises(DataError, match=r"traces are interrupted[\s\S]*on_bad='drop'"):
        edge_time_series(traces(values))
    found = edge_time_series(traces(values), on_bad="drop")
    assert np.isnan(found["edge_time_series"].values).all(axis=0).tolist() == [True, True, False]
    assert found.attrs["quality"] == {"interrupted_traces": 1}


def test_kinds_of_input_and_what_is_said_of_them(rng, tmp_path):
    spikes = counts(rng.poisson(2.0, (50, 3)), bin_size=0.1)
    rates = smooth(spikes, 0.3)
    found = edge_time_series(rates)
    assert found["edge_time_series"].sizes == {"time": 50, "pair": 3}
    assert "unit_from" in found.coords
    assert [entry["step"] for entry in history(found)] == [
        *[entry["step"] for entry in history(rates)],
        "edge_time_series",
    ]
    scan = bold(rng.normal(size=(40, 3)), repetition_time=2.0, keep=np.arange(40) != 20)
    coupled = multiplication_of_temporal_derivatives(scan, 10.0)
    assert coupled.attrs["kind"] == "results"
    assert np.isnan(coupled[MTD].values).any(axis=1).sum() == 6
    plain = multiplication_of_temporal_derivatives(spikes["count"].astype(float), 0.5)
    xr.testing.assert_identical(
        plain[MTD], multiplication_of_temporal_derivatives(spikes, 0.5)[MTD]
    )
    save(coupled, tmp_path / "results.nc")
    again = load(tmp_path / "results.nc")
    np.testing.assert_array_equal(again[MTD], coupled[MTD])
    assert again.attrs["quality"] == coupled.attrs["quality"]


def test_paired_cells_of_a_real_worm_go_together(shared_data):
    table = np.genfromtxt(
        shared_data / "celegans_wormwideweb_1worm" / "traces_z.csv.gz", delimiter=",", names=True
    )
    names = list(table.dtype.names[1:])
    values = np.stack([table[name] for name in names], axis=1)
    edges = edge_time_series(signal(values, sampling_rate=1 / 0.6, dim="roi", channel=names))
    mean = edges["edge_time_series"].mean("time").values
    pairs = [{a, b} for a, b in zip(edges["roi_from"].values, edges["roi_to"].values)]
    for a, b, r in (("AVAL", "AVAR", 0.97), ("AVEL", "AVER", 0.96), ("AVAL", "RIBL", -0.60)):
        assert mean[pairs.index({a, b})] == pytest.approx(r, abs=0.005)
    twins = [{name, f"{name[:-1]}R"} for name in names if name[-1] == "L"]
    sides = [k for k, pair in enumerate(pairs) if pair in twins]
    assert len(sides) == 38
    assert mean[sides].mean() == pytest.approx(0.59, abs=0.005)
    assert mean.mean() == pytest.approx(0.055, abs=0.005)


def test_edges_can_be_factorised(rng):
    values = mixed(rng, 2, 30, 4)
    values[0, :, 2] = np.nan
    edges = edge_time_series(traces(values))["edge_time_series"]
    affinity = as_affinity(edges, dtype=np.float64)
    np.testing.assert_array_equal(affinity.dense().values, np.maximum(edges, 0).values)


def test_input_is_left_alone(rng):
    ds = traces(rng.normal(size=(30, 3)))
    ds["signal"][3, 1] = np.nan
    before = ds.copy(deep=True)
    edge_time_series(ds, on_bad="drop")
    multiplication_of_temporal_derivatives(ds, 1.0)
    xr.testing.assert_identical(ds, before)


def test_faults_are_named(rng):
    ds = traces(rng.normal(size=(20, 3)))
    for window in (0.1, -1.0, float("nan")):
        with pytest.raises(ConfigError, match=r"window is too short[\s\S]*at least 1 samples"):
            multiplication_of_temporal_derivatives(ds, window)
    with pytest.raises(DegenerateInputError, match=r"window is longer[\s\S]*at most 19 samples"):
        multiplication_of_temporal_derivatives(ds, 5.0)
    multiplication_of_temporal_derivatives(ds, 4.75)
    with pytest.raises(ConfigError, match=r"traces have other dims[\s\S]*time"):
        multiplication_of_temporal_derivatives(ds["signal"].rename(time="sample"), 1.0)
    with pytest.raises(ConfigError, match="invalid value for kind"):
        multiplication_of_temporal_derivatives(xr.Dataset(attrs={"kind": "trials"}), 1.0)
    with pytest.raises(ConfigError, match="results hold no rates"):
        multiplication_of_temporal_derivatives(edge_time_series(ds), 1.0)
    uneven = ds.assign_coords(time=np.r_[np.arange(19), 18.5 + 0.01])
    with pytest.raises(TimebaseError, match="irregular clock"):
        multiplication_of_temporal_derivatives(uneven, 1.0)
