"""Random damage: whatever becomes of a file, reading it ends in our error or in sound data.

The corpus follows from fixed seeds. A mutant that once failed is kept in ``REGRESSIONS``.
"""

from __future__ import annotations

import contextlib
import warnings
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest

import neurodyn.io
from neurodyn import recording
from neurodyn.errors import DataQualityWarning, NeurodynError
from neurodyn.io.containment import BROKEN
from neurodyn.io.hdf5 import open_hdf5, read_array
from neurodyn.io.isolate import map_isolated

SEED = 20261123
DEFAULT, MANY = 300, 10_000
REGRESSIONS: tuple[int, ...] = (337, 486, 496, 560, 961, 5409)
MEMORY = "1 GB"
SECONDS = 10.0


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A small NWB file with units, trials, a signal and behavior."""
    from pynwb import NWBHDF5IO, NWBFile, TimeSeries
    from pynwb.behavior import Position, SpatialSeries

    rng = np.random.default_rng(SEED)
    nwb = NWBFile("fuzz", "f1", datetime(2026, 1, 1, tzinfo=UTC))
    nwb.add_unit_column("area", "where the unit lies")
    for unit in range(6):
        times = np.sort(rng.uniform(0, 20, 40 * unit))
        nwb.add_unit(spike_times=times, obs_intervals=[[0.0, 20.0]], area="M1")
    for start in range(0, 20, 2):
        nwb.add_trial(start_time=float(start), stop_time=start + 1.5)
    data = rng.normal(size=(400, 3))
    nwb.add_acquisition(TimeSeries(name="lfp", data=data, unit="V", rate=20.0))
    hand = SpatialSeries(name="hand", data=data[:, :2], timestamps=np.arange(400) / 20, unit="m")
    module = nwb.create_processing_module("behavior", "movement")
    module.add(Position(spatial_series=hand))
    path = tmp_path_factory.mktemp("fuzz") / "clean.nwb"
    with NWBHDF5IO(path, "w") as file:
        file.write(nwb, cache_spec=False)
    return path


def mutant(data: bytes, seed: int) -> bytes:
    """Change 1 to 16 bytes, half of them in the first 4 kB; cut one in ten short."""
    rng = np.random.default_rng([SEED, seed])
    changed = bytearray(data)
    for _ in range(rng.integers(1, 17)):
        at = rng.integers(min(4096, len(data)) if rng.random() < 0.5 else len(data))
        changed[at] = rng.integers(256)
    stop = rng.integers(len(data)) if rng.random() < 0.1 else len(data)
    return bytes(changed[:stop])


def read(path):
    """Read all of a file in both ways and tell how that ended; run in a child process."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DataQualityWarning)
        return [attempt(read_datasets, path), attempt(read_recording, path)]


def attempt(function, path):
    try:
        function(path)
    except NeurodynError as error:
        return type(error).__name__
    return "read"


def read_datasets(path):
    with open_hdf5(path) as file:
        found: list[h5py.Dataset] = []
        with contextlib.suppress(*BROKEN):  # objects that h5py itself cannot open
            file.visititems(lambda _, item: found.append(item))
        for item in found:
            if isinstance(item, h5py.Dataset):
                read_array(item)


def read_recording(path):
    tree = neurodyn.io.load(path, on_bad="raise")
    recording.validate(tree)
    for node in tree.leaves:
        if node.attrs.get("kind") == "spikes":
            sound = np.isfinite(node["spike_time"].values).all()
            assert sound
            assert int(node["row_size"].sum()) == node.sizes["spike"]


def run(clean, folder, seeds):
    """Return how the reading of each mutant ended."""
    data = clean.read_bytes()
    paths = []
    for seed in seeds:
        paths.append(folder / f"{seed}.nwb")
        paths[-1].write_bytes(mutant(data, seed))
    results = map_isolated(read, [(path,) for path in paths], seconds=SECONDS, memory=MEMORY)
    return dict(zip(seeds, results))


def unexpected(results):
    """Return the results that are an exception from within, not a crash that was contained."""
    bad = {}
    for seed, result in results.items():
        contained = "crashed" in str(result) or "did not end" in str(result)
        if not isinstance(result, list) and not contained:
            bad[seed] = str(result)
    return bad


def test_clean_file_is_read_in_both_ways(clean):
    assert read(clean) == ["read", "read"]


def test_mutants_end_in_our_errors_or_in_sound_data(clean, tmp_path):
    results = run(clean, tmp_path, [*REGRESSIONS, *range(DEFAULT)])
    assert unexpected(results) == {}
    ends = [str(result) for result in results.values()]
    assert sum("CorruptFileError" in end for end in ends) > DEFAULT / 5
    assert sum("read" in end for end in ends) > DEFAULT / 10


@pytest.mark.slow
def test_many_mutants(clean, tmp_path):
    for first in range(DEFAULT, MANY, 500):
        assert unexpected(run(clean, tmp_path, range(first, first + 500))) == {}
