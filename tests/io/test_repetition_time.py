"""One repetition time out of header, sidecar and caller, or an error that shows what they say."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import TimebaseError, UnitScaleError
from neurodyn.io.repetition_time import in_seconds, settle_repetition_time


@pytest.mark.parametrize(
    ("value", "unit", "seconds"),
    [
        (720.0, "msec", 0.72),
        (2.0, "sec", 2.0),
        (720_000.0, "usec", 0.72),
        (0.72, "SECOND", 0.72),
        (2.0, "unknown", 2.0),
        (0.0, "unknown", 0.0),
    ],
)
def test_headers_become_seconds(value, unit, seconds):
    assert in_seconds(value, unit, "bold.nii") == seconds


@pytest.mark.parametrize("value", [0.1, 2000.0, math.inf])
def test_a_number_without_a_unit_must_look_like_seconds(value):
    with pytest.raises(UnitScaleError, match=r"no unit.*\(at bold.nii\)") as caught:
        in_seconds(value, "unknown", "bold.nii")
    assert "repetition_time=... [s]" in str(caught.value)
    assert ("as milliseconds it were 2 s" in str(caught.value)) == (value == 2000.0)


def test_a_unit_of_something_else_is_refused():
    with pytest.raises(UnitScaleError, match=r"no times(?s:.*)unit HERTZ"):
        in_seconds(2.0, "HERTZ", "bold.nii")


@pytest.mark.parametrize(
    ("header", "sidecar", "given_", "expected"),
    [
        (2.0, None, None, 2.0),
        (None, 2.0, None, 2.0),
        (0.0, 2.0, None, 2.0),
        (math.nan, 2.0, None, 2.0),
        (0.7199999690055847, 0.72, None, 0.72),
        (2.0, 2.0009, None, 2.0009),
        (720.0, 0.72, None, 0.72),
        (1.0, 2.0, 2.5, 2.5),
    ],
)
def test_what_is_known_settles_it(header, sidecar, given_, expected):
    assert settle_repetition_time(header, sidecar, given_, "bold.nii") == expected


@pytest.mark.parametrize(
    ("header", "sidecar", "given_", "error", "text"),
    [
        (
            0.0,
            None,
            None,
            TimebaseError,
            r"unknown \(at bold.nii\)(?s:.*)0 in the header",
        ),
        (None, None, None, TimebaseError, "unknown(?s:.*)no header"),
        (math.nan, None, None, TimebaseError, "unknown(?s:.*)nan in the header"),
        (-2.0, None, None, TimebaseError, "impossible(?s:.*)header -2"),
        (2.0, 2.0021, None, TimebaseError, "header 2 s, sidecar 2.0021 s(?s:.*)within 1 ms"),
        (720.0, 2.0, None, TimebaseError, "header 720 s, sidecar 2 s"),
        (2000.0, None, None, UnitScaleError, "header 2000; as milliseconds it were 2 s"),
        (None, 2000.0, None, UnitScaleError, "sidecar 2000"),
        (None, 0.0, None, TimebaseError, "impossible(?s:.*)sidecar 0"),
        (2.0, 2.0, 0.0, TimebaseError, "repetition_time 0"),
        (2.0, 2.0, "two", TimebaseError, "repetition_time 'two'"),
    ],
)
def test_doubt_is_an_error(header, sidecar, given_, error, text):
    with pytest.raises(error, match=text):
        settle_repetition_time(header, sidecar, given_, "bold.nii")


@settings(deadline=None)
@given(st.floats(0.05, 15.0), st.floats(-0.0009, 0.0009))
def test_agreement_within_a_millisecond_takes_the_sidecar(seconds, difference):
    found = settle_repetition_time(seconds + difference, seconds, None, "bold.nii")
    assert found == seconds
