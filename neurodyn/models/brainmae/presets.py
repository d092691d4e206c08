"""Sizes of BrainMAE by name."""

from __future__ import annotations

from typing import Any

from neurodyn.errors import one_of
from neurodyn.models.brainmae.config import BrainMAEConfig

__all__ = ["PRESETS", "preset"]

_SETTINGS: dict[str, dict[str, Any]] = {
    "tiny": {
        "node_size": 32,
        "node_heads": 4,
        "readout_size": 8,
        "n_queries": 16,
        "state_size": 128,
        "state_heads": 4,
        "n_encoder_layers": 2,
        "n_decoder_layers": 1,
        "dropout": 0.0,
    },
    "base": {},
    "large": {"node_size": 256, "state_size": 512},
}

#: Names that :func:`preset` knows.
PRESETS: tuple[str, ...] = tuple(_SETTINGS)


def preset(name: str, **settings: Any) -> BrainMAEConfig:
    """Return the configuration of a named size.

    Parameters
    ----------
    name
        ``"tiny"`` trains on a CPU in minutes, ``"base"`` and ``"large"`` want an accelerator.
    **settings
        Fields of :class:`BrainMAEConfig` that replace those of the preset.

    Raises
    ------
    ConfigError
        For an unknown name or a value outside its range.

    Examples
    --------
    >>> preset("tiny", variant="ag").node_size
    32
    """
    one_of("preset", name, PRESETS)
    return BrainMAEConfig(**{**_SETTINGS[name], **settings})
