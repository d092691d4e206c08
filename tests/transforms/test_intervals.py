"""Sets of intervals against a grid of points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import DataError
from neurodyn.transforms import difference, intersection, union
from neurodyn.transforms.intervals import contains

edges = st.tuples(st.integers(0, 30), st.integers(0, 8)).map(lambda e: (e[0], e[0] + e[1]))
sets = st.lists(edges, max_size=8)
GRID = np.arange(-1, 40) + 0.5


def inside(intervals):
    table = np.asarray(intervals, dtype=float).reshape(-1, 2)
    return ((table[:, 0] <= GRID[:, None]) & (GRID[:, None] < table[:, 1])).any(axis=1)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(first=sets, second=sets)
def test_sets_are_those_of_points(first, second):
    a, b = np.array(first, float).reshape(-1, 2), np.array(second, float).reshape(-1, 2)
    for found, expected in (
        (union(a, b), inside(a) | inside(b)),
        (intersection(a, b), inside(a) & inside(b)),
        (difference(a, b), inside(a) & ~inside(b)),
    ):
        np.testing.assert_array_equal(inside(found), expected)
        assert (np.diff(found.ravel()) > 0).all()


def test_nothing_is_a_set_too():
    assert union().shape == (0, 2)
    assert union([[1.0, 1.0]]).shape == (0, 2)
    assert intersection([[0.0, 1.0]], []).shape == (0, 2)
    assert difference([[0.0, 1.0]], []).tolist() == [[0.0, 1.0]]


def test_intervals_may_be_open_to_infinity():
    assert intersection([[0.0, np.inf]], [[-np.inf, 2.0]]).tolist() == [[0.0, 2.0]]


@pytest.mark.parametrize("bad", [[[1.0, 0.0]], [[np.nan, 1.0]], [[0.0, np.nan]]])
def test_impossible_intervals_are_refused(bad):
    with pytest.raises(DataError, match="an interval is impossible"):
        union([[0.0, 1.0]], bad)


def test_spans_and_points():
    table = union([[0.0, 1.0], [2.0, 3.0]])
    assert contains(table, [0.0, 0.5, 0.5, 2.0, -1.0], [1.0, 1.0, 2.5, 3.0, 0.5]).tolist() == [
        True,
        True,
        False,
        True,
        False,
    ]
    assert contains(table, [0.0, 1.0, 2.0], [0.0, 1.0, 2.0]).tolist() == [True, False, True]
