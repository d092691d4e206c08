from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import CheckpointMismatchError, ConfigError
from neurodyn.windows.samplers import BatchSampler

quick = settings(deadline=None, max_examples=40, derandomize=True)


@st.composite
def samplers(draw):
    n_windows = draw(st.integers(1, 30))
    batch_size = draw(st.integers(1, n_windows))
    seed, shuffle, drop_last = draw(st.integers(0, 5)), draw(st.booleans()), draw(st.booleans())
    return partial(BatchSampler, n_windows, batch_size, seed, shuffle, drop_last)


@quick
@given(samplers())
def test_an_epoch_gives_every_window_once_or_drops_only_the_rest(make):
    sampler = make()
    for epoch in range(3):
        batches = [next(sampler) for _ in range(len(sampler))]
        seen = np.concatenate(batches)
        assert sampler.epoch == epoch
        assert seen.dtype == np.int64
        assert len(set(seen.tolist())) == len(seen)
        rest = sampler.n_windows % sampler.batch_size if sampler.drop_last else 0
        assert len(seen) == sampler.n_windows - rest
        assert all(len(batch) == sampler.batch_size for batch in batches[:-1])


@quick
@given(samplers(), st.integers(0, 40), st.integers(1, 40))
def test_resuming_anywhere_continues_exactly(make, before, after):
    whole, part = make(), make()
    for _ in range(before):
        next(whole)
        next(part)
    resumed = make()
    resumed.load_state_dict(json.loads(json.dumps(part.state_dict())))
    assert resumed.epoch == part.epoch
    for _ in range(after):
        np.testing.assert_array_equal(next(resumed), next(whole))
    assert resumed.state_dict() == whole.state_dict()


def test_order_depends_on_seed_and_epoch_only():
    def epochs(seed):
        sampler = BatchSampler(50, 50, seed)
        return [next(sampler).tolist() for _ in range(2)]

    assert epochs(1) == epochs(1)
    assert epochs(1) != epochs(2)
    assert epochs(1)[0] != epochs(1)[1]


def test_a_batch_is_a_copy_that_the_caller_may_change():
    sampler = BatchSampler(4, 4, 0, shuffle=False)
    next(sampler)[:] = -1
    assert next(sampler).tolist() == [0, 1, 2, 3]


def test_it_is_an_iterator():
    sampler = BatchSampler(3, 1, 0, shuffle=False)
    assert [batch.tolist() for batch, _ in zip(sampler, range(4), strict=False)][3] == [0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 0), "no windows to draw from"),
        ((5, 6, 0), "batch_size=6 and 5 windows"),
        ((5, 0, 0), "batch_size does not fit"),
        ((5, 1, -1), "seed must not be negative"),
    ],
)
def test_impossible_requests_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        BatchSampler(*arguments)


def test_a_foreign_position_is_refused():
    state = BatchSampler(10, 2, seed=0).state_dict()
    with pytest.raises(CheckpointMismatchError, match=r"n_windows=10(.|\n)*n_windows=11"):
        BatchSampler(11, 2, seed=0).load_state_dict(state)
    with pytest.raises(CheckpointMismatchError, match="position=6"):
        BatchSampler(10, 2, seed=0).load_state_dict({**state, "position": 6})
