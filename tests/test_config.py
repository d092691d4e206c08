"""Configurations: round trips, refusals with suggestions, dotted settings."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.config import assign, from_dict, from_toml, to_dict, to_toml, uid
from neurodyn.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    width: float = 0.05
    sizes: tuple[int, ...] = (1, 2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    mode: Literal["fast", "slow"] = "fast"
    inner: Inner = Inner()
    limit: float | None = None
    pair: tuple[int, str] = (1, "a")
    table: dict[str, float] = dataclasses.field(default_factory=dict)
    flag: bool = False
    anything: Any = 0


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=6)
outers = st.builds(
    Outer,
    name=texts,
    mode=st.sampled_from(["fast", "slow"]),
    inner=st.builds(
        Inner, width=st.floats(allow_nan=False), sizes=st.lists(st.integers(-99, 99)).map(tuple)
    ),
    limit=st.none() | st.floats(allow_nan=False),
    pair=st.tuples(st.integers(-99, 99), texts),
    table=st.dictionaries(texts, st.floats(allow_nan=False), max_size=2),
    flag=st.booleans(),
)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(config=outers)
def test_round_trips(config, tmp_path_factory):
    assert from_dict(Outer, json.loads(json.dumps(to_dict(config)))) == config
    path = tmp_path_factory.mktemp("config") / "config.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert from_toml(Outer, path) == config
    assert uid(config) == uid(from_toml(Outer, path))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "x", "mod": "fast"}, r"unknown key 'mod'[\s\S]*did you mean 'mode'"),
        (
            {"name": "x", "mode": "fst"},
            r"Outer\.mode[\s\S]*'fast' or 'slow'[\s\S]*did you mean 'fast'",
        ),
        ({}, r"required keys are missing[\s\S]*name"),
        ({"name": 3}, r"Outer\.name[\s\S]*found: 3 \(int\)[\s\S]*expected: str"),
        ({"name": "x", "flag": 1}, r"Outer\.flag[\s\S]*expected: bool"),
        ({"name": "x", "limit": True}, r"Outer\.limit[\s\S]*expected: float"),
        ({"name": "x", "inner": {"widht": 1}}, r"unknown key 'widht' \(at Outer\.inner\)"),
        (
            {"name": "x", "inner": {"sizes": [1, "b"]}},
            r"Outer\.inner\.sizes\[1\][\s\S]*expected: int",
        ),
        ({"name": "x", "table": {"a": "b"}}, r"Outer\.table\.a"),
    ],
)
def test_what_does_not_fit_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        from_dict(Outer, values)


def test_settings_reach_into_nested_configurations():
    config = assign(Outer(name="x"), {"inner.width": "0.5", "mode": "slow", "limit": "none"})
    assert (config.inner.width, config.mode, config.limit) == (0.5, "slow", None)
    assert assign(config, {"inner.sizes": "[3, 4]"}).inner.sizes == (3, 4)
    with pytest.raises(ConfigError, match=r"unknown key 'iner\.width'[\s\S]*did you mean 'inner'"):
        assign(config, {"iner.width": 1.0})


def test_files_that_are_no_configuration(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("name = ", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"not a TOML file \(at .*config\.toml"):
        from_toml(Outer, path)
    path.write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match="too large"):
        from_toml(Outer, path)


def test_uid_leaves_out_what_changes_no_result():
    slow = Outer(name="x", mode="slow")
    assert uid(slow) != uid(Outer(name="x"))
    assert uid(slow, exclude=("mode",)) == uid(Outer(name="x"), exclude=("mode",))
