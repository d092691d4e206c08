"""Frozen dataclasses as configurations, to and from TOML and JSON.

A configuration carries no data shapes. Unknown keys are refused with a suggestion and every
value is checked against its annotation, so a file that loads is a file that means something.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from neurodyn.errors import ConfigError, suggest

__all__ = ["assign", "from_dict", "from_toml", "to_dict", "to_toml", "uid"]

C = TypeVar("C")
MAX_FILE_BYTES = 1_000_000


def to_dict(config: Any) -> dict[str, Any]:
    """Return a configuration as nested plain dictionaries, tuples as lists.

    Parameters
    ----------
    config
        A dataclass instance.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Smoothing:
    ...     width: float = 0.05
    >>> to_dict(Smoothing())
    {'width': 0.05}
    """
    return typing.cast(dict[str, Any], _plain(dataclasses.asdict(config)))


def from_dict(cls: type[C], values: Mapping[str, Any], *, where: str | None = None) -> C:
    """Build a configuration from a mapping; missing keys keep their defaults.

    Parameters
    ----------
    cls
        The dataclass to build.
    values
        Keys are field names; nested dataclasses take nested mappings.
    where
        What to name in an error, a file for example.

    Raises
    ------
    ConfigError
        For an unknown key, a missing required one or a value of the wrong type.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Smoothing:
    ...     width: float = 0.05
    >>> from_dict(Smoothing, {"width": 1}).width
    1.0
    """
    place = where or cls.__name__
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(typing.cast(Any, cls)) if f.init}
    kwargs = {}
    for key, value in values.items():
        if key not in fields:
            raise ConfigError(f"unknown key {key!r}", where=place, hint=suggest(key, fields))
        kwargs[key] = _convert(value, hints[key], f"{place}.{key}")
    missing = [
        name
        for name, field in fields.items()
        if name not in kwargs
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError("required keys are missing", where=place, expected=", ".join(missing))
    return cls(**kwargs)


def assign(config: C, settings: Mapping[str, Any]) -> C:
    """Return a copy with some fields replaced; dotted keys reach into nested configurations.

    Text is read as a TOML value where the field is not text, which is what a command line needs.

    Raises
    ------
    ConfigError
        As :func:`from_dict`.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Smoothing:
    ...     width: float = 0.05
    >>> assign(Smoothing(), {"width": "0.1"})
    Smoothing(width=0.1)
    """
    values = to_dict(config)
    for key, value in settings.items():
        target = values
        *parents, leaf = key.split(".")
        for parent in parents:
            if not isinstance(target.get(parent), dict):
                raise ConfigError(f"unknown key {key!r}", hint=suggest(parent, target))
            target = target[parent]
        target[leaf] = _parse(value) if isinstance(value, str) else value
    return from_dict(type(config), values)


def from_toml(cls: type[C], path: str | Path) -> C:
    """Read a configuration from a TOML file.

    Raises
    ------
    ConfigError
        If the file is no TOML, is over 1 MB or does not fit ``cls``.
    """
    path = Path(path)
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ConfigError("configuration file is too large", where=path, expected="up to 1 MB")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("not a TOML file", where=path, found=error) from error
    return from_dict(cls, values, where=str(path))


def to_toml(config: Any) -> str:
    """Return a configuration as TOML text; fields that are ``None`` are left out.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Smoothing:
    ...     width: float = 0.05
    >>> print(to_toml(Smoothing()), end="")
    width = 0.05
    """
    import tomli_w

    return tomli_w.dumps(_without_none(to_dict(config)))


def uid(config: Any, *, exclude: tuple[str, ...] = ()) -> str:
    """Return a short stable hash of a configuration, without the ``exclude``-d fields.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Smoothing:
    ...     width: float = 0.05
    >>> uid(Smoothing()) == uid(Smoothing(width=0.05)) != uid(Smoothing(width=0.1))
    True
    """
    values = {key: value for key, value in to_dict(config).items() if key not in exclude}
    text = json.dumps([type(config).__name__, values], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return value


def _parse(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return None if text.lower() == "none" else text


def _convert(value: Any, hint: Any, where: str) -> Any:
    """Check ``value`` against the annotation ``hint``; int becomes float, list becomes tuple."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_dict(typing.cast(type[Any], hint), value, where=where)
    if origin is Literal:
        if value in args:
            return value
        expected = " or ".join(map(repr, args))
        raise ConfigError(
            "invalid value",
            where=where,
            found=repr(value),
            expected=expected,
            hint=suggest(str(value), map(str, args)),
        )
    if origin in (Union, types.UnionType):
        return _convert_union(value, args, where)
    if origin is tuple and isinstance(value, list | tuple):
        item = args if len(args) == len(value) and Ellipsis not in args else args[:1] * len(value)
        return tuple(_convert(v, h, f"{where}[{i}]") for i, (v, h) in enumerate(zip(value, item)))
    if origin is dict and isinstance(value, Mapping):
        return {str(k): _convert(v, args[1], f"{where}.{k}") for k, v in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    kind = origin or hint
    if isinstance(value, kind) and not (isinstance(value, bool) and kind in (int, float)):
        return value
    raise ConfigError(
        "value of the wrong type",
        where=where,
        found=f"{value!r} ({type(value).__name__})",
        expected=getattr(hint, "__name__", str(hint)),
    )


def _convert_union(value: Any, args: tuple[Any, ...], where: str) -> Any:
    if value is None and type(None) in args:
        return None
    failure: ConfigError | None = None
    for choice in args:
        if choice is type(None):
            continue
        try:
            return _convert(value, choice, where)
        except ConfigError as error:
            failure = failure or error
    raise failure or ConfigError("invalid value", where=where, found=repr(value))
