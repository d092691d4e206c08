"""Brief events of one animal against their truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurodyn import recording as rec
from neurodyn.datasets import simulate_calcium_events
from neurodyn.errors import ConfigError


def test_motifs_are_active_in_windows_of_their_own() -> None:
    recording, truth = simulate_calcium_events()
    rec.validate(recording, values=True)
    assert recording["signal"]["signal"].dims == ("time", "roi")
    active, course = truth["active"].values, truth["time_course"].values
    assert active.sum(axis=1).tolist() == [240] * 5
    assert active.sum(axis=0).max() == 1
    windows = active.reshape(5, 20, 80)
    assert (windows.all(axis=2) | ~windows.any(axis=2)).all()
    assert not course[~active].any()
    starts = (np.diff(np.pad(course, ((0, 0), (1, 0))), axis=1) == 1).reshape(5, 20, 80).sum(axis=2)
    assert (starts == 5 * windows.any(axis=2)).all()
    assert course.sum(axis=1).tolist() == [5 * 3 * 2] * 5
    assert truth["member"].sum("roi").values.tolist() == [10] * 5
    assert truth["member"].sum("motif").max() == 1


def test_traces_are_the_sum_of_the_motifs_through_the_indicator() -> None:
    recording, truth = simulate_calcium_events(noise=0.0, private_rate=0.0)
    found = recording["signal"]["signal"].values
    time = np.arange(0.0, 16.25, 0.25)
    kernel = (1.0 - np.exp(-time / 0.5)) * np.exp(-time / 2.0)
    drive = xr.dot(truth["gain"], truth["time_course"], dim="motif").transpose("time", "roi").values
    expected = np.zeros_like(found)
    for lag, weight in enumerate(kernel / kernel.sum()):
        expected[lag:] += weight * drive[: len(drive) - lag]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_members_change_together_in_their_windows() -> None:
    recording, truth = simulate_calcium_events()
    values = recording["signal"]["signal"].values
    for motif in range(5):
        correlation = np.corrcoef(values[truth["active"].values[motif]].T)
        together = correlation[truth["pair"].values[motif] > 0]
        apart = correlation[(truth["pair"].values.sum(axis=0) == 0) & ~np.eye(60, dtype=bool)]
        assert together.mean() > 0.4
        assert abs(apart.mean()) < 0.05


def test_same_seed_same_traces() -> None:
    first, second, third = (simulate_calcium_events(seed=seed) for seed in (3, 3, 4))
    xr.testing.assert_identical(first.truth, second.truth)
    assert first.recording.identical(second.recording)
    assert not first.truth["member"].equals(third.truth["member"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_motifs": 0}, "n_motifs must be above 0"),
        ({"noise": -1.0}, "noise must not be negative"),
        ({"private_gain": (0.0, 1.0)}, "private_gain is no range"),
        ({"cells_per_motif": 13}, r"more cells in motifs than cells(.|\n)*5 x 13"),
        ({"windows_per_motif": 5}, r"more windows in motifs than windows(.|\n)*at most 20"),
        ({"duration": 401.0}, "duration is no whole number of steps"),
        ({"events_per_window": 40}, "events do not fit in"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate_calcium_events(**settings)
