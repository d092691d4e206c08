from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn import recording
from neurodyn.errors import DataError, EmptySelectionError, TimebaseError
from neurodyn.models.checks import example_counts
from neurodyn.models.context import DataContext, bin_flags

COUNTS = example_counts()
CONTEXT = DataContext.of(COUNTS)


def test_context_says_what_the_data_are():
    assert CONTEXT.unit == ("a", "b", "c", "d", "e", "f")
    assert (CONTEXT.n_time, CONTEXT.n_forward, CONTEXT.n_inputs, CONTEXT.n_units) == (12, 3, 4, 6)
    assert CONTEXT.held_in_index.tolist() == [0, 1, 2, 3]
    assert CONTEXT.bin_size == 0.02


def test_context_survives_json():
    assert DataContext.from_json(CONTEXT.to_json()) == CONTEXT


@settings(deadline=None, max_examples=20, derandomize=True)
@given(st.permutations(range(6)))
def test_order_of_units_does_not_matter(order):
    shuffled = COUNTS.isel(unit=list(order))
    for of in (CONTEXT.inputs, CONTEXT.targets):
        np.testing.assert_array_equal(of(shuffled).count, of(COUNTS).count)


def test_inputs_are_held_in_units_before_the_forward_bins():
    found = CONTEXT.inputs(COUNTS)
    np.testing.assert_array_equal(found.count, COUNTS["count"].values[:, :12, :4])
    assert found.count.dtype == np.float32
    assert found.observed.all()


@pytest.mark.parametrize("dims", [("time",), ("time", "unit"), ("trial", "time")])
def test_masks_of_fewer_dims_are_spread_and_zero_the_counts(dims, rng):
    mask = rng.random([COUNTS.sizes[dim] for dim in dims]) < 0.7
    masked = COUNTS.assign(observed=(dims, mask))
    found = CONTEXT.targets(masked)
    full = masked["observed"].broadcast_like(COUNTS["count"])
    full = full.transpose("trial", "time", "unit").values
    np.testing.assert_array_equal(found.observed, full)
    np.testing.assert_array_equal(found.count, np.where(full, COUNTS["count"].values, 0))


def test_targets_without_forward_bins():
    seen = COUNTS.isel(time=~COUNTS["forward"].values)
    assert CONTEXT.targets(seen, forward=False).count.shape == (8, 12, 6)
    with pytest.raises(TimebaseError, match="another number of forward bins"):
        CONTEXT.targets(seen)


def test_wrong_units_are_named():
    renamed = COUNTS.assign_coords(unit=["a", "b", "c", "x", "e", "f"])
    with pytest.raises(DataError, match="missing: d; unknown: x"):
        CONTEXT.inputs(renamed)
    with pytest.raises(DataError, match="missing: e"):
        CONTEXT.targets(COUNTS.drop_sel(unit="e"))


def test_long_lists_of_units_are_shortened():
    many = recording.counts(np.zeros((1, 12, 9)), bin_size=0.02)
    with pytest.raises(DataError, match="and 4 more"):
        CONTEXT.inputs(many)


def test_wrong_clocks_are_named():
    with pytest.raises(TimebaseError, match=r"found: 0\.005 s\n.*expected: 0\.02 s"):
        CONTEXT.inputs(COUNTS.assign_attrs(bin_size=0.005))
    with pytest.raises(TimebaseError, match="another number of bins"):
        CONTEXT.inputs(COUNTS.isel(time=slice(0, 5)))


def test_forward_bins_must_come_last():
    wrong = COUNTS.assign_coords(forward=("time", np.arange(15) < 3))
    with pytest.raises(TimebaseError, match="must follow"):
        bin_flags(wrong)


@pytest.mark.parametrize(
    "empty",
    [
        COUNTS.isel(trial=[]),
        COUNTS.isel(time=COUNTS["forward"].values),
        COUNTS.isel(unit=COUNTS["held_out"].values),
    ],
)
def test_nothing_to_learn_from(empty):
    with pytest.raises(EmptySelectionError, match="nothing to learn from"):
        DataContext.of(empty)
