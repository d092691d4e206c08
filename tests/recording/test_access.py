"""Behaviors are found by the name of their dataset or of their feature."""

from __future__ import annotations

import numpy as np
import pytest

from neurodyn.errors import DataError, EmptySelectionError
from neurodyn.recording import behavior, recording, trials
from neurodyn.recording.access import pick_behavior


def series(*features, **attrs):
    values = np.arange(4.0 * len(features)).reshape(4, -1)
    return behavior(values, sampling_rate=10.0, feature=list(features), **attrs)


@pytest.fixture
def session():
    return recording({"behavior": {"hand": series("x", "y"), "eye": series("x", "pupil")}})


def test_a_behavior_is_named_by_its_dataset(session):
    assert pick_behavior(session, "hand")["feature"].values.tolist() == ["x", "y"]


def test_a_behavior_is_named_by_its_feature(session):
    found = pick_behavior(session, "pupil")
    assert found["value"].dims == ("time", "feature")
    assert found["value"].values.tolist() == [[1.0], [3.0], [5.0], [7.0]]


def test_datasets_go_before_features():
    both = recording({"behavior": {"speed": series("a"), "ball": series("speed", "b")}})
    assert pick_behavior(both, "speed")["feature"].values.tolist() == ["a"]


def test_a_single_one_answers_to_its_own_name():
    alone = series("x", "y", name="wheel")
    assert pick_behavior(recording([alone]), "wheel").sizes["feature"] == 2
    assert pick_behavior(alone, "wheel").sizes["feature"] == 2
    assert pick_behavior(alone, "y")["feature"].values.tolist() == ["y"]


def test_what_cannot_be_meant_is_named(session):
    with pytest.raises(DataError, match=r"several behaviors have a feature 'x'[\s\S]*hand, eye"):
        pick_behavior(session, "x")
    with pytest.raises(EmptySelectionError, match=r"name 'pupi'[\s\S]*'pupil'[\s\S]*eye, hand"):
        pick_behavior(session, "pupi")
    with pytest.raises(EmptySelectionError, match=r"name 'z'[\s\S]*known: wheel, x"):
        pick_behavior(series("x", name="wheel"), "z")
    with pytest.raises(EmptySelectionError, match=r"known: x$"):
        pick_behavior(series("x"), "q")
    with pytest.raises(EmptySelectionError, match="no behavior"):
        pick_behavior(recording([trials([0.0], [1.0])]), "x")
