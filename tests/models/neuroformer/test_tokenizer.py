"""Counts to tokens and back, the vocabulary, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neurodyn.errors import ConfigError, DataError
from neurodyn.models.neuroformer.tokenizer import EOS, FIRST_UNIT, PAD, SOS, SpikeTokenizer


def tokenizer(**changes):
    return SpikeTokenizer(**{"units": ("a", "b", "c"), "bin_size": 0.001, "n_bins": 4, **changes})


@given(arrays(np.int64, (4, 3), elements=st.integers(0, 5)))
def test_counts_round_trip_in_canonical_order(count):
    bins, unit = tokenizer().encode(count)
    np.testing.assert_array_equal(tokenizer().decode(bins, unit), count)
    pairs = list(zip(bins.tolist(), unit.tolist()))
    assert pairs == sorted(pairs)
    assert len(pairs) == count.sum()
    assert unit.min(initial=FIRST_UNIT) >= FIRST_UNIT > max(PAD, SOS, EOS)


@given(arrays(np.int64, (4, 3), elements=st.integers(0, 3)), st.randoms())
def test_decoding_does_not_depend_on_the_order(count, random):
    pairs = list(zip(*(part.tolist() for part in tokenizer().encode(count))))
    random.shuffle(pairs)
    bins, unit = zip(*pairs) if pairs else ((), ())
    np.testing.assert_array_equal(tokenizer().decode(bins, unit), count)


def test_extension_moves_no_token_and_json_round_trips():
    first = tokenizer(max_spikes=7)
    wider = first.extend(["c", "session2/d"])
    assert wider.units == ("a", "b", "c", "session2/d")
    assert (wider.tokens("abc") == first.tokens("abc")).all()
    assert wider.n_tokens == first.n_tokens + 1
    assert SpikeTokenizer.from_json(wider.to_json()) == wider


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"units": ()}, "units must have ids"),
        ({"units": (1, 2)}, "units must have ids"),
        ({"units": ("a", "b", "a")}, "units are repeated"),
        ({"bin_size": 0.0005}, "bin_size is too short"),
        ({"bin_size": float("nan")}, "bin_size is too short"),
        ({"n_bins": 0}, "sizes of a tokenizer are impossible"),
        ({"max_spikes": 0}, "sizes of a tokenizer are impossible"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        tokenizer(**changes)


def test_what_does_not_fit_is_refused_and_never_cut():
    with pytest.raises(DataError, match="more spikes than fit"):
        tokenizer(max_spikes=3).encode(np.full((4, 3), 1))
    with pytest.raises(DataError, match="counts do not fit the tokenizer"):
        tokenizer().encode(np.zeros((3, 4)))
    with pytest.raises(DataError, match="counts must be whole numbers"):
        tokenizer().encode(np.full((4, 3), 0.5))
    with pytest.raises(DataError, match="counts must be whole numbers"):
        tokenizer().encode(np.full((4, 3), -1))
    for bins, unit in (([4], [3]), ([0], [EOS]), ([0], [6]), ([0, 1], [3])):
        with pytest.raises(DataError, match="tokens are not spikes"):
            tokenizer().decode(bins, unit)
    with pytest.raises(DataError, match="units are not in the vocabulary"):
        tokenizer().tokens(["a", "x"])
    for text in ("{", "3"):
        with pytest.raises(ConfigError, match="not the JSON text of a tokenizer"):
            SpikeTokenizer.from_json(text)
    with pytest.raises(ConfigError, match="unknown key"):
        SpikeTokenizer.from_json('{"unit": 3}')
