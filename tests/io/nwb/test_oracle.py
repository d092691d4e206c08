"""Our reading equals pynwb's, on files of many shapes that pynwb wrote."""

from __future__ import annotations

import numpy as np
import pytest
from hdmf.common import VectorIndex
from nwb_shapes import SHAPES, make
from pynwb import NWBHDF5IO, TimeSeries
from pynwb.epoch import TimeIntervals

from neurodyn import io, recording
from neurodyn.io.nwb.inventory import clean_name


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    return {name: make(name, folder / f"{name}.nwb") for name in SHAPES}


@pytest.fixture
def both(request, files):
    """The file as pynwb and as we read it."""
    path = files[request.param]
    with NWBHDF5IO(str(path), "r") as nwb_io:
        yield nwb_io.read(), io.load(path)


every_shape = pytest.mark.parametrize("both", SHAPES, indirect=True)


def by_path(tree, kind):
    if kind not in tree.children:
        return {}
    children = [recording.pick(tree, kind, name) for name in recording.names(tree)[kind]]
    return {ds.attrs["name"] + ds.attrs["source_path"]: ds for ds in children}


def found(tree, kind, container):
    """Our dataset of a pynwb object."""
    own = [ds for ds in by_path(tree, kind).values() if ds.attrs["name"] == container.name]
    parent = container.parent.name
    return next(ds for ds in own if len(own) == 1 or f"/{parent}/" in ds.attrs["source_path"])


def compare_column(ds, dim, table, name):
    clean = clean_name(name)
    column = table[name]
    if name == "electrodes":
        rows = [part.tolist() for part in np.split(column.target.data[:], column.data[:-1])]
    elif name == "electrode_group":
        rows = [group.name for group in column[:]]
    elif isinstance(column, VectorIndex):
        rows = [np.asarray(column[i]).tolist() for i in range(len(table))]
    else:
        rows = np.asarray(column[:]).tolist()
    values = ds[{"heldout": "held_out"}.get(name, clean)].values
    for row, value in zip(rows, values, strict=True):
        if f"{clean}_size" in ds and isinstance(row, list):
            value = value[: len(row)]
        np.testing.assert_array_equal(np.asarray(row, dtype=value.dtype), value)
    if f"{clean}_size" in ds:
        assert ds[f"{clean}_size"].values.tolist() == [len(row) for row in rows]


@every_shape
def test_units(both):
    nwb, tree = both
    if nwb.units is None:
        assert "spikes" not in tree.children
        return
    units, spikes = nwb.units, recording.pick(tree, "spikes")
    assert spikes["unit"].values.tolist() == [str(i) for i in units.id[:]]
    for i, label in enumerate(spikes["unit"].values):
        times = recording.unit_spike_times(spikes, label)
        np.testing.assert_array_equal(times, units["spike_times"][i])
    for name in set(units.colnames) - {"spike_times", "obs_intervals"}:
        compare_column(spikes, "unit", units, name)


@every_shape
def test_observation_intervals(both):
    nwb, tree = both
    if nwb.units is None or "obs_intervals" not in nwb.units.colnames:
        return
    spikes = recording.pick(tree, "spikes")
    expected = np.concatenate([nwb.units["obs_intervals"][i] for i in range(len(nwb.units))])
    np.testing.assert_array_equal(np.stack([spikes["obs_start"], spikes["obs_stop"]], 1), expected)
    assert spikes["obs_row_size"].values.tolist() == [2, 2, 2]


@every_shape
def test_interval_tables(both):
    nwb, tree = both
    tables = [table for table in nwb.objects.values() if isinstance(table, TimeIntervals)]
    for table in tables:
        trials = found(tree, "trials", table)
        np.testing.assert_array_equal(trials["start"], table["start_time"][:])
        np.testing.assert_array_equal(trials["stop"], table["stop_time"][:])
        for name in set(table.colnames) - {"start_time", "stop_time"}:
            compare_column(trials, "trial", table, name)


@every_shape
def test_series(both):
    nwb, tree = both
    for series in nwb.objects.values():
        if not isinstance(series, TimeSeries) or type(series).__name__ in (
            "AnnotationSeries",
            "IntervalSeries",
            "ImageSeries",
        ):
            continue
        if series.parent.neurodata_type == "BehavioralEvents":
            continue
        in_behavior = "/behavior/" in by_h5_path(series)
        ds = found(tree, "behavior" if in_behavior else "signal", series)
        values = ds["value"] if in_behavior else recording.physical(ds)
        expected = np.asarray(series.get_data_in_units())
        expected = expected if expected.ndim == 2 else expected[:, None]
        np.testing.assert_allclose(values.values, expected, rtol=1e-6, atol=1e-12)
        step = np.diff(series.get_timestamps()[:2]).item()
        np.testing.assert_allclose(ds["time"], series.get_timestamps(), rtol=0, atol=0.1 * step)


def by_h5_path(series):
    names = []
    while series is not None:
        names.append(series.name)
        series = series.parent
    return "/" + "/".join(reversed(names))


def test_every_shape_opens_without_reading_and_without_warning(files):
    for path in files.values():
        tree = io.open(path)
        for node in tree.leaves:
            assert "fault" not in node.attrs
            for name in {"spike_time", "value", "signal"} & set(node.data_vars):
                if node.attrs["kind"] != "trials":
                    assert not node[name].variable._in_memory
        tree.close()
