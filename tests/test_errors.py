"""Errors: four parts in every message, and the built-in classes that users expect."""

from __future__ import annotations

import inspect

import pytest

from neurodyn import errors


def test_a_message_has_all_parts():
    error = errors.SpikeTimesError(
        "spike times are not sorted",
        where="session.nwb:/units, unit 7",
        found="1 drop of 0.5 s",
        expected="times that never decrease",
        hint="on_bad='fix'",
    )
    assert str(error) == (
        "spike times are not sorted (at session.nwb:/units, unit 7).\n"
        "  found: 1 drop of 0.5 s\n"
        "  expected: times that never decrease\n"
        "  to go on: on_bad='fix'"
    )


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.CorruptFileError, OSError),
        (errors.CheckpointMismatchError, OSError),
        (errors.DataError, ValueError),
        (errors.NotFittedError, AttributeError),
        (errors.MissingDependencyError, ImportError),
        (errors.TrainingDivergedError, ArithmeticError),
    ],
)
def test_errors_are_caught_as_builtins(error, builtin):
    assert issubclass(error, builtin)
    assert issubclass(error, errors.NeurodynError)


def test_every_error_is_listed_and_prints_its_parts():
    defined = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    assert defined <= set(errors.__all__)
    for name in defined - {"DataQualityWarning", "MissingDependencyError"}:
        assert "found: 3" in str(getattr(errors, name)("wrong", found=3))


def test_a_missing_package_names_its_install_line():
    with pytest.raises(ImportError, match=r"pip install 'neurodyn\[fast\]'"):
        raise errors.MissingDependencyError("numba", "fast")


def test_one_of_names_the_choices():
    errors.one_of("on_bad", "fix", ["raise", "fix"])
    with pytest.raises(errors.ConfigError, match=r"on_bad[\s\S]*'fixx'[\s\S]*did you mean 'fix'"):
        errors.one_of("on_bad", "fixx", ["raise", "fix"])


def test_suggest_without_candidates():
    assert errors.suggest("a", []) == "known: none"
