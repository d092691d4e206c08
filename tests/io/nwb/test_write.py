"""Writing: any recording comes back equal, and pynwb reads what we write."""

from __future__ import annotations

import hypothesis.extra.numpy as hnp
import numpy as np
import xarray as xr
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from neurodyn import io, recording
from neurodyn.io.nwb.write import write_nwb

FILE_ATTRS = {"name", "source_path", "neurodata_type", "quality"}
LABEL = st.text("abcÄ_ 12", min_size=1, max_size=5)
# shrinking would write hundreds of files
SLOW = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def same(first: xr.DataTree, second: xr.DataTree) -> None:
    """Assert that two recordings hold the same, but for what names the file."""
    for kind, names in recording.names(first).items():
        again = recording.names(second)[kind]
        assert len(again) == len(names)
        for name in names:
            one = recording.pick(first, kind, name)
            other = recording.pick(second, kind, name if name in again else None)
            expected = {k: v for k, v in one.attrs.items() if k not in FILE_ATTRS}
            found = {k: v for k, v in other.attrs.items() if k not in FILE_ATTRS}
            # what NWB must state, a recording need not have
            found.pop("description", None)
            expected.pop("description", None)
            xr.testing.assert_equal(one, other)
            assert found == expected
            assert set(one.coords) == set(other.coords)


@st.composite
def unit_times(draw):
    times = st.lists(st.floats(0.0, 100.0, width=32), max_size=20).map(sorted)
    units = draw(st.lists(times, min_size=1, max_size=5))
    return units if any(units) else [[0.5], *units]


@st.composite
def spikes(draw):
    units = draw(unit_times())
    n = len(units)
    labels = draw(
        st.one_of(
            st.just([str(i) for i in range(n)]),
            st.lists(LABEL, min_size=n, max_size=n, unique=True),
        )
    )
    columns = {
        "held_out": np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))),
        "area": draw(st.lists(LABEL, min_size=n, max_size=n)),
        "depth": draw(hnp.arrays(np.float64, n, elements=st.floats(-5, 5))),
        "quality code": np.arange(n, dtype=np.int16),
        "waveform_mean": np.arange(n * 4, dtype=np.float32).reshape(n, 4),
    }
    chosen = draw(st.sets(st.sampled_from(["held_out", "area", "depth", "waveform_mean"])))
    observed = draw(st.none() | st.just([[0.0, 40.0], [50.0, 100.0]]))
    return recording.spikes_from_units(
        dict(zip(labels, units)),
        observed=observed,
        unit_columns={name: columns[name] for name in chosen},
        tick_hz=draw(st.sampled_from([1e9, 30_000.0])),
        note=draw(st.none() | LABEL),
    )


@st.composite
def trials(draw):
    n = draw(st.integers(1, 6))
    start = np.cumsum(draw(hnp.arrays(np.float64, n, elements=st.floats(0.1, 9))))
    length = draw(hnp.arrays(np.float64, n, elements=st.floats(0.1, 1)))
    ids = draw(st.none() | st.just([f"t{i}" for i in range(n)]) | st.just(np.arange(n) * 3))
    columns = {
        "go_time": np.where(np.arange(n) % 2, np.nan, start),
        "condition": draw(st.lists(LABEL, min_size=n, max_size=n)),
        "correct": np.arange(n) % 2 == 0,
        "target_pos": np.arange(2.0 * n).reshape(n, 2),
    }
    return recording.trials(start, start + length, trial=ids, columns=columns)


@st.composite
def sampled(draw, kind):
    n, k = draw(st.integers(3, 8)), draw(st.integers(1, 3))
    regular = {"sampling_rate": draw(st.sampled_from([100.0, 1250.0, 30.5])), "start": 0.25}
    irregular = {"time": np.array([0.0, 0.5, 1.7, 4.0, 4.2, 9.0, 11.0, 11.1])[:n]}
    clock = draw(st.sampled_from([regular, irregular]))
    values = draw(hnp.arrays(np.float32, (n, k), elements=st.floats(-9, 9, width=32)))
    labels = draw(st.lists(LABEL, min_size=k, max_size=k, unique=True))
    if kind == "behavior":
        units = draw(st.sampled_from(["", "cm", ["cm", "s", "m"][:k]]))
        return recording.behavior(values, feature=labels, units=units, **clock)
    return recording.signal(
        (values * 100).astype(np.int16),
        channel=labels,
        dim=draw(st.sampled_from(["channel", "roi"])),
        units=draw(st.sampled_from(["V", "1"])),
        scale_factor=draw(st.sampled_from([1.0, 2.5e-6])),
        channel_columns={"area": ["CA1"] * k},
        **clock,
    )


@given(spikes(), trials(), sampled("behavior"), sampled("signal"), sampled("signal"))
@SLOW
def test_round_trip_of_any_recording(tmp_path_factory, units, table, hand, lfp, calcium):
    children = {"spikes": units, "trials": table, "behavior": hand}
    signals = {"LFP": lfp, "calcium": calcium}
    tree = recording.recording({**children, "signal": signals}, subject="J", config={"a": [1]})
    path = tmp_path_factory.mktemp("nwb") / "session.nwb"
    # drawn spikes are too few to tell seconds from milliseconds
    again = io.load(write_nwb(tree, path), spike_time_unit="s")
    same(tree, again)
    assert again.attrs["config"] == {"a": [1]}
    assert "session_start" not in again.attrs
