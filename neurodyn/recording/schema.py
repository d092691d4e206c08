"""The kinds of a recording and their rules: dims, variables, coordinates and attrs.

This table is the schema. Constructors (:mod:`neurodyn.recording.build`) follow it and
:func:`neurodyn.recording.validate.validate` checks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from neurodyn.errors import one_of

__all__ = ["KINDS", "SCHEMA_VERSION", "KindRule", "VariableRule", "rule_for"]

SCHEMA_VERSION = 1

FLOAT, INTEGER, NUMBER, TEXT, BOOL = "f", "iu", "fiu", "OUT", "b"


@dataclass(frozen=True)
class VariableRule:
    """One variable or coordinate: allowed dims and allowed numpy dtype kinds."""

    dims: tuple[tuple[str, ...], ...]
    dtype_kinds: str
    required: bool = True


@dataclass(frozen=True)
class KindRule:
    """Variables, coordinates and attrs of one kind; what is not named here is free."""

    variables: Mapping[str, VariableRule] = field(default_factory=dict)
    coordinates: Mapping[str, VariableRule] = field(default_factory=dict)
    attrs: Mapping[str, type] = field(default_factory=dict)


def _rule(dims: str, dtype_kinds: str, *, required: bool = True) -> VariableRule:
    """Read ``"trial time unit | time unit"`` as two allowed tuples of dims."""
    return VariableRule(
        tuple(tuple(choice.split()) for choice in dims.split("|")), dtype_kinds, required
    )


_TIME = _rule("time", FLOAT)
_UNIT = _rule("unit", TEXT)

KINDS: dict[str, KindRule] = {
    "spikes": KindRule(
        variables={
            "spike_time": _rule("spike", FLOAT),
            "row_size": _rule("unit", INTEGER),
            # of calcium events, for example
            "amplitude": _rule("spike", FLOAT, required=False),
            "obs_start": _rule("obs_interval", FLOAT, required=False),
            "obs_stop": _rule("obs_interval", FLOAT, required=False),
            "obs_row_size": _rule("unit", INTEGER, required=False),
        },
        coordinates={"unit": _UNIT, "held_out": _rule("unit", BOOL, required=False)},
        attrs={"tick_hz": float},
    ),
    "counts": KindRule(
        variables={
            "count": _rule("time unit | trial time unit", INTEGER),
            "observed": _rule(
                "time | time unit | trial time | trial time unit", BOOL, required=False
            ),
        },
        coordinates={
            "time": _TIME,
            "unit": _UNIT,
            "trial": _rule("trial", TEXT + INTEGER, required=False),
            "held_out": _rule("unit", BOOL, required=False),
            "forward": _rule("time", BOOL, required=False),
        },
        attrs={"bin_size": float},
    ),
    "signal": KindRule(
        variables={
            "signal": _rule(
                "time channel | time roi | animal time channel | animal time roi", NUMBER
            )
        },
        coordinates={
            "time": _TIME,
            # a scalar once one animal was chosen
            "animal": _rule("animal | ", TEXT, required=False),
            "channel": _rule("channel", TEXT, required=False),
            "roi": _rule("roi", TEXT, required=False),
            "channel_conversion": _rule("channel", FLOAT, required=False),
        },
    ),
    "bold": KindRule(
        variables={
            "bold": _rule("time roi | time voxel | time vertex", FLOAT),
            "confounds": _rule("time confound", FLOAT, required=False),
        },
        coordinates={"time": _TIME, "keep": _rule("time", BOOL, required=False)},
        attrs={"repetition_time": float},
    ),
    "behavior": KindRule(
        variables={"value": _rule("time feature", NUMBER)},
        coordinates={"time": _TIME, "feature": _rule("feature", TEXT)},
    ),
    "trials": KindRule(
        variables={"start": _rule("trial", FLOAT), "stop": _rule("trial", FLOAT)},
        coordinates={"trial": _rule("trial", TEXT + INTEGER)},
    ),
    "results": KindRule(),
}


def rule_for(kind: str) -> KindRule:
    """Return the rule of a kind.

    Raises
    ------
    ConfigError
        For an unknown kind, with the known ones.

    Examples
    --------
    >>> sorted(rule_for("trials").variables)
    ['start', 'stop']
    """
    one_of("kind", kind, KINDS)
    return KINDS[kind]
