"""Binning and windows on the device: the counts of the host to the bit, and no way back to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import ConfigError, DataError, EmptySelectionError, SpikeTimesError
from neurodyn.recording import spikes_from_units
from neurodyn.transforms import bin_spikes
from neurodyn.transforms.observation import with_observation
from neurodyn.windows import SpikeTensors, SpikeWindows, Windows
from neurodyn.windows.gather import CountTensors
from neurodyn.windows.spike_windows import Binned, count_ticks

TICK = 1 / 1000.0


def spikes_of(ticks, observed=None):
    """Build spikes at ticks; ``observed`` has a table of intervals for each unit."""
    units = {f"u{i}": np.sort(np.array(own, float)) * TICK for i, own in enumerate(ticks)}
    spikes = spikes_from_units(units, tick_hz=1000.0)
    tables = [np.array(table, float).reshape(-1, 2) for table in observed or ()]
    return with_observation(spikes, tables) if tables else spikes


def assert_equal_to_the_host(spikes, bin_size, start, stop):
    expected = bin_spikes(spikes, bin_size, start=start, stop=stop)
    found = SpikeTensors(spikes).bin(bin_size, start=start, stop=stop)
    assert found.count.dtype == torch.uint8
    np.testing.assert_array_equal(found.count.numpy(), expected["count"].values)
    if "observed" in expected:
        mask = expected["observed"].values
        mask = mask[:, None] if mask.ndim == 1 else mask
        np.testing.assert_array_equal(
            found.observed.numpy(), np.broadcast_to(mask, found.count.shape)
        )
    else:
        assert found.observed is None


ticks = st.lists(st.lists(st.integers(-50, 350), max_size=40), min_size=1, max_size=4)
edges = st.lists(st.integers(-60, 360), min_size=2, max_size=8, unique=True)
# whole ticks, a width that divides ticks further, and a bin of one tick
widths = st.sampled_from([0.02, 0.007, 1 / 30, 0.0015, 0.001])


@settings(max_examples=60, deadline=None)
@given(ticks, widths, st.integers(-40, 100), st.integers(140, 320))
def test_counts_are_those_of_the_host(own, width, start, stop):
    assert_equal_to_the_host(spikes_of(own), width, start * TICK, stop * TICK)


@settings(max_examples=60, deadline=None)
@given(ticks, st.lists(edges, min_size=1, max_size=4), widths, st.booleans())
def test_only_bins_wholly_inside_an_interval_are_observed(own, cuts, width, shared):
    tables = []
    for unit in range(len(own)):
        cut = np.sort(cuts[0 if shared else unit % len(cuts)]) * TICK
        cut = cut[: len(cut) // 2 * 2]
        # two intervals that touch count as one
        tables.append(np.concatenate([cut.reshape(-1, 2), [[cut[-1], cut[-1] + 0.04]]]))
    assert_equal_to_the_host(spikes_of(own, tables), width, -0.03, 0.31)


def test_an_interval_may_reach_to_infinity():
    spikes = spikes_of([[5, 25]], [[[-np.inf, 0.02], [0.03, np.inf]]])
    found = SpikeTensors(spikes).bin(0.01, start=0.0, stop=0.04)
    assert found.observed[:, 0].tolist() == [True, True, False, True]
    assert found.count[:, 0].tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("n_spikes", [255, 256])
def test_a_bin_holds_255_spikes_and_not_one_more(n_spikes):
    spikes = spikes_of([[1] * n_spikes, [1]])
    tensors = SpikeTensors(spikes)
    if n_spikes == 255:
        assert tensors.bin(0.02, start=0.0, stop=0.02).count.tolist() == [[255, 1]]
        return
    with pytest.raises(DataError, match="a bin holds too many spikes") as caught:
        tensors.bin(0.02, start=0.0, stop=0.02)
    assert "choose a smaller bin_size" in caught.value.hint
    # those that are not binned do not count
    assert tensors.bin(0.02, start=0.02, stop=0.04).count.tolist() == [[0, 0]]


def test_what_cannot_be_binned_is_refused():
    spikes = spikes_of([[1, 2], [3]])
    with pytest.raises(ConfigError, match="bin_size does not fit the span"):
        SpikeTensors(spikes).bin(0.02, start=0.0, stop=0.01)
    turned = spikes.assign(spike_time=("spike", spikes["spike_time"].values[[1, 0, 2]]))
    with pytest.raises(SpikeTimesError, match="spike times are not sorted"):
        SpikeTensors(turned).bin(0.001, start=0.0, stop=0.01)
    broken = spikes.assign(spike_time=("spike", [0.001, np.nan, 0.003]))
    with pytest.raises(SpikeTimesError, match="spike times are not finite"):
        SpikeTensors(broken)


def test_no_spikes_are_counted_as_none():
    found = SpikeTensors(spikes_of([[], []])).bin(0.01, start=0.0, stop=0.03)
    assert found.count.tolist() == [[0, 0]] * 3


@pytest.fixture
def session():
    rng = np.random.default_rng(0)
    own = [np.sort(rng.integers(0, 2000, 300)) for _ in range(3)]
    return spikes_of(own, [[[0, 2]], [[0, 0.5], [1, 2]], [[0.3, 2]]])


def test_windows_are_those_of_the_host(session):
    binned = SpikeTensors(session).bin(0.02, start=0.0, stop=2.0)
    host = Windows(bin_spikes(session, 0.02, start=0.0, stop=2.0), length=7, step=3)
    device = SpikeWindows(binned, 7, step=3)
    assert len(device) == len(host)
    index = np.array([0, 5, 2])
    expected = host.gather(index)
    for name, found in device.gather(index).items():
        torch.testing.assert_close(found, expected[name], rtol=0, atol=0)


def test_windows_that_do_not_fit_are_refused():
    binned = Binned(torch.zeros(10, 2, dtype=torch.uint8), None)
    with pytest.raises(EmptySelectionError, match="there are no windows"):
        SpikeWindows(binned, 11)
    with pytest.raises(ConfigError, match="a window reaches out of the recording"):
        SpikeWindows(binned, 4, starts=[0, 7])


def test_batches_are_made_on_the_device_without_a_way_back():
    # tensors on "meta" hold nothing: any copy of data to the host is an error
    count = torch.empty((50, 3), dtype=torch.uint8, device="meta")
    observed = torch.empty((50, 3), dtype=torch.bool, device="meta")
    tensors = CountTensors(count, observed, 7, "meta")
    batch = tensors.gather(np.array([4, 1]), np.array([12, 3]))
    assert {name: value.device.type for name, value in batch.items()} == dict.fromkeys(
        batch, "meta"
    )
    assert batch["count"].shape == (2, 7, 3)


def test_the_host_waits_once_however_many_units(session, monkeypatch):
    waits = []
    original = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda t: waits.append(t) or original(t))
    for name in ("item", "cpu", "numpy", "__bool__"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_: pytest.fail("a way back to the host"))
    SpikeTensors(session).bin(0.02, start=0.0, stop=2.0)
    assert len(waits) == 1


def test_rows_of_any_kind_are_counted_like_a_histogram():
    rng = np.random.default_rng(1)
    unit = np.sort(rng.integers(0, 4, 500))
    row = rng.integers(-2, 12, 500)
    row = row[np.lexsort((row, unit))]
    found = count_ticks(torch.from_numpy(row), torch.from_numpy(unit), 10, 4)
    expected, _, _ = np.histogram2d(row, unit, bins=[np.arange(11) - 0.5, np.arange(5) - 0.5])
    np.testing.assert_array_equal(found.numpy(), expected)
