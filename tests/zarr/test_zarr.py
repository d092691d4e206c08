from __future__ import annotations

import json
import shutil
import warnings
from datetime import UTC, datetime

import numpy as np
import pytest

import neurodyn.io
import neurodyn.io.nwb.zarr as module
from neurodyn.errors import CorruptFileError, SizeBudgetError, UnsafeFileError
from neurodyn.io.doctor import check
from neurodyn.io.limits import limited
from neurodyn.io.nwb import load_nwb
from neurodyn.io.nwb.zarr import load_zarr, open_zarr


def make_nwb():
    """Units with references, trials with time series, a signal with electrodes, behavior."""
    from pynwb import NWBFile, TimeSeries
    from pynwb.behavior import Position, SpatialSeries
    from pynwb.ecephys import ElectricalSeries

    rng = np.random.default_rng(2)
    nwb = NWBFile("zarr", "z1", datetime(2026, 1, 1, tzinfo=UTC))
    group = nwb.create_electrode_group(
        name="probe", description="p", location="M1", device=nwb.create_device(name="d")
    )
    for _ in range(4):
        nwb.add_electrode(group=group, location="M1")
    nwb.add_unit_column("area", "where the unit lies")
    for unit in range(3):
        times = np.sort(rng.uniform(0, 20, 30 * unit))
        nwb.add_unit(
            spike_times=times, obs_intervals=[[0.0, 20.0]], area="µ1", electrode_group=group
        )
    series = TimeSeries(name="lfp", data=rng.normal(size=(400, 3)), unit="V", rate=20.0)
    nwb.add_acquisition(series)
    for start in range(0, 20, 5):
        nwb.add_trial(start_time=float(start), stop_time=start + 4.0, timeseries=[series])
    region = nwb.create_electrode_table_region([0, 2], "two")
    data = np.arange(800, dtype="i2").reshape(400, 2)
    nwb.add_acquisition(ElectricalSeries(name="raw", data=data, electrodes=region, rate=20.0))
    times = np.cumsum(rng.uniform(0.01, 0.09, 400))
    hand = SpatialSeries(name="hand", data=rng.normal(size=(400, 2)), timestamps=times, unit="m")
    module = nwb.create_processing_module("behavior", "movement")
    module.add(Position(spatial_series=hand))
    return nwb


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The same recording as a Zarr folder, references pickled as by default, and as HDF5."""
    import numcodecs.pickles
    from hdmf_zarr.nwb import NWBZarrIO
    from pynwb import NWBHDF5IO

    folder = tmp_path_factory.mktemp("pair")
    writing = pytest.MonkeyPatch()  # later numcodecs refuses its own codec, even to write
    writing.setattr(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with NWBZarrIO(str(folder / "a.nwb.zarr"), "w") as file:
            file.write(make_nwb())
        with NWBHDF5IO(str(folder / "a.nwb"), "w") as file:
            file.write(make_nwb())
    writing.undo()
    return folder / "a.nwb.zarr", folder / "a.nwb"


@pytest.fixture
def folder(pair, tmp_path):
    copy = shutil.copytree(pair[0], tmp_path / "a.nwb.zarr")
    (copy / ".zmetadata").unlink()  # a summary of what the tests change
    return copy


def assert_same(found, expected):
    paths = [node.path for node in expected.leaves]
    assert [node.path for node in found.leaves] == paths
    for path in paths:
        one, two = found[path].to_dataset(), expected[path].to_dataset()
        assert one.drop_vars([v for v in one.variables if one[v].dtype == object]).equals(
            two.drop_vars([v for v in two.variables if two[v].dtype == object])
        )
        assert set(one.variables) == set(two.variables)


def test_references_were_pickled(pair):
    text = (pair[0] / "units/electrode_group/.zarray").read_text()
    assert '"pickle"' in text


def test_zarr_and_hdf5_give_the_same_recording(pair):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, expected = load_zarr(pair[0]), load_nwb(pair[1])
    assert_same(found, expected)
    assert found.attrs["source"] == "a.nwb.zarr"


def test_front_door_knows_the_format(pair):
    assert_same(neurodyn.io.load(pair[0]), load_nwb(pair[1]))
    assert [f.code for f in check(pair[0])] == [f.code for f in check(pair[1])]


def test_lazy_recording_outlives_the_copy(pair, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tree = open_zarr(pair[0])
    assert not list(tmp_path.iterdir())
    assert_same(tree, load_nwb(pair[1]))
    tree.close()


def test_selection_and_policy_are_passed_on(pair):
    tree = load_zarr(pair[0], "spikes", "drop", duplicates="drop")
    assert [node.path for node in tree.leaves] == ["/spikes"]


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_code_in_a_pickled_object_does_not_run(folder):
    array = folder / "units/electrode_group"
    change(array / ".zarray", compressor=None)
    chunk = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0atouch /tmp\x85R."
    (array / "0").write_bytes(chunk)
    with pytest.raises(UnsafeFileError, match=r"os\.system"):
        load_zarr(folder)


@pytest.mark.parametrize("codec", [{"id": "evil"}, {"id": "msgpack2"}, {}])
def test_unknown_codecs_are_refused(codec, folder):
    change(folder / "units/spike_times/.zarray", filters=[codec] if codec else [{"x": 1}])
    with pytest.raises(UnsafeFileError, match="codec"):
        load_zarr(folder)


def test_links_outside_are_refused(folder):
    link = {"zarr_link": [{"name": "x", "path": "/", "source": "../other.nwb.zarr"}]}
    (folder / "acquisition/.zattrs").write_text(json.dumps(link))
    with pytest.raises(UnsafeFileError, match=r"other\.nwb\.zarr"):
        load_zarr(folder)


def test_symbolic_links_are_refused(folder):
    (folder / "units/spike_times/0").unlink()
    (folder / "units/spike_times/0").symlink_to("/etc/passwd")
    with pytest.raises(UnsafeFileError, match="symbolic link"):
        load_zarr(folder)


def test_budgets_come_before_the_copy(folder):
    with limited(objects=5), pytest.raises(SizeBudgetError, match="too many objects"):
        load_zarr(folder)
    change(folder / "acquisition/lfp/data/.zarray", shape=[10**12, 3])
    with pytest.raises(SizeBudgetError, match="24 TB"):
        load_zarr(folder)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("units/.zattrs", "{"),
        ("units/spike_times/.zarray", '{"chunks": [1], "dtype": "nonsense", "shape": [1]}'),
        ("units/spike_times/.zarray", '{"chunks": [1], "dtype": "<f8"}'),
        (".zattrs", '{"namespace": "core"}'),
    ],
)
def test_damage_is_named(name, text, folder):
    (folder / name).write_text(text)
    with pytest.raises(CorruptFileError, match="Zarr folder cannot be read"):
        load_zarr(folder)


def test_damaged_chunk_is_named(folder):
    path = folder / "units/spike_times/0"
    path.write_bytes(b"\x00" * path.stat().st_size)
    with pytest.raises(CorruptFileError):
        load_zarr(folder)


def test_metadata_that_is_too_large(folder, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_METADATA", 10)
    with pytest.raises(CorruptFileError, match="metadata above"):
        load_zarr(folder)


def test_codec_is_put_back(pair):
    from numcodecs.registry import codec_registry

    before = codec_registry["pickle"]
    load_zarr(pair[0], "trials")
    assert codec_registry["pickle"] is before
