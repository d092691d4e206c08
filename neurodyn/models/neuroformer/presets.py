"""Sizes of Neuroformer by name."""

from __future__ import annotations

from typing import Any

from neurodyn.errors import one_of
from neurodyn.models.neuroformer.config import (
    BehaviorInput,
    BehaviorTarget,
    NeuroformerConfig,
    Stage,
    StimulusInput,
)
from neurodyn.models.neuroformer.published_quirks import PublishedQuirks

__all__ = ["PRESETS", "preset"]

_SETTINGS: dict[str, dict[str, Any]] = {
    "small": {
        "bin_size": 0.025,
        "window": 0.25,
        "past": 1.0,
        "stride": 0.05,
        "stages": (
            Stage(source="self", n_layers=1),
            Stage(source="past", n_layers=1, self_attention=True),
        ),
        "size": 64,
        "n_heads": 4,
        "mlp_ratio": 2,
        "dropout": 0.1,
    },
    "v1al": {
        "window": 0.05,
        "past": 0.15,
        "stages": (
            Stage(source="self", n_layers=6),
            Stage(source="past", n_layers=6),
            Stage(source="stimulus", n_layers=6),
            Stage(source="self", n_layers=6),
        ),
        "stimulus": StimulusInput(window=0.2, kernel=(3, 8, 8), stride=(3, 4, 4), n_layers=6),
        "dropout": 0.2,
    },
    "visnav": {
        "window": 0.05,
        "past": 0.05,
        "stages": (
            Stage(source="self", n_layers=6),
            Stage(source="past", n_layers=6),
            Stage(source="stimulus", n_layers=6),
            Stage(source="behavior", n_layers=4),
            Stage(source="self", n_layers=6),
        ),
        "stimulus": StimulusInput(window=0.15, kernel=(3, 5, 5), stride=(3, 5, 5), n_layers=6),
        "behavior": (
            BehaviorInput(name="phi", window=0.05),
            BehaviorInput(name="theta", window=0.05),
        ),
        "targets": (BehaviorTarget(name="speed"),),
        "dropout": 0.2,
        "contrastive_weight": 0.25,
    },
}

_PUBLISHED: dict[str, Any] = {
    "quirks": PublishedQuirks.v1_5(),
    "joint_head": False,
    "canonical": False,
    "time": "learnt",
}

#: Names that :func:`preset` knows.
PRESETS: tuple[str, ...] = tuple(_SETTINGS)


def preset(name: str, *, published: bool = False, **settings: Any) -> NeuroformerConfig:
    """Return the configuration of a named size.

    Parameters
    ----------
    name
        ``"small"`` reads spikes alone and trains on a CPU in minutes. ``"v1al"`` has a movie,
        ``"visnav"`` a movie, gaze angles that are read and a speed that is decoded; both have the
        published sizes and want an accelerator.
    published
        With everything as in the public code, version 1.5: its
        :class:`~neurodyn.models.neuroformer.published_quirks.PublishedQuirks`, independent heads,
        spikes in any order and learnt times.
    **settings
        Fields of :class:`NeuroformerConfig` that replace those of the preset.

    Raises
    ------
    ConfigError
        For an unknown name or a value outside its range.

    References
    ----------
    Sizes of the public code's configurations ``V1AL``, 24.1 million parameters, and ``Visnav``
    (lateral). Of the latter those that read no behavior have 25.1 million; four blocks for phi and
    theta, which it has as an option and ours reads, are 3.2 million more.

    Examples
    --------
    >>> preset("small", dropout=0.0).n_bins
    10
    """
    one_of("preset", name, PRESETS)
    as_published = _PUBLISHED if published else {}
    return NeuroformerConfig(**{**_SETTINGS[name], **as_published, **settings})
