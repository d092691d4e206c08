"""Which Neuroformer to train, and how: preset, file, what it reads and decodes, ``key=value``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from neurodyn import recording as rec
from neurodyn.config import assign, from_toml
from neurodyn.errors import ConfigError, suggest
from neurodyn.models.base import RunConfig
from neurodyn.models.neuroformer.config import (
    BehaviorInput,
    BehaviorTarget,
    NeuroformerConfig,
    Stage,
    StimulusInput,
)
from neurodyn.models.neuroformer.estimator import Neuroformer
from neurodyn.models.neuroformer.presets import preset as neuroformer_preset
from neurodyn.training import TrainingConfig
from neurodyn.workflow.plans import TRAINING, setting

__all__ = ["NeuroformerPlan", "neuroformer_plan", "training_of", "with_targets"]

LISTED = {"stages": "source", "behavior": "name", "targets": "name"}
"""Settings that are lists of settings, and what their items are called by."""


@dataclass(frozen=True)
class NeuroformerPlan:
    """A Neuroformer that is not fitted, and how to train it."""

    model: Neuroformer
    training: TrainingConfig


def neuroformer_plan(
    settings: Iterable[str] = (),
    *,
    preset: str | None = None,
    config: str | Path | None = None,
    read: Sequence[str] = (),
    decode: Sequence[str] = (),
    stimulus: str | None = None,
    data: xr.DataTree | None = None,
    seed: int = 0,
) -> NeuroformerPlan:
    """Return a model and its training.

    Preset, file, ``stages``, what is read and decoded, and ``key=value`` are taken in this order.
    A stimulus or behavior that is read needs a stage: where there is none, one block is put behind
    the last stage that reads anything but the window itself, the stimulus before the behaviors.

    Parameters
    ----------
    settings
        Such as ``past=1.0``, ``stimulus.window=0.4``, ``targets.speed.at=0.5``,
        ``stages.0.n_layers=2`` and ``training.n_steps=2000``.
    preset
        ``small``, ``v1al`` or ``visnav``; small by default.
    config
        ``config.toml`` of a run folder.
    read, decode
        Behaviors that are read and that are decoded, instead of those so far.
    stimulus
        Name of the signal that is read, ``signal`` of one without a name: a video if it says its
        ``height`` and ``width``, else features.
    data
        The recording that has it.
    seed
        Of training.

    Raises
    ------
    ConfigError
        For an unknown preset or setting, a file about another model, or a behavior that is both
        read and decoded.
    EmptySelectionError
        If the recording has no such signal.

    Examples
    --------
    >>> neuroformer_plan(["targets.x.at=0.5"], decode=["x"]).model.config.targets[0].at
    0.5
    """
    pairs = dict(setting(text) for text in settings)
    own = {key: value for key, value in pairs.items() if not key.startswith(TRAINING)}
    chosen, training = _start(preset, config)
    if "stages" in own:
        # what is read finds its place among them
        chosen = assign(chosen, {"stages": own.pop("stages")})
    if stimulus is not None:
        chosen = _with_stage(chosen, "stimulus", stimulus=_stimulus(stimulus, data, chosen))
    chosen = _with_behavior(chosen, read, decode)
    loop = {k.removeprefix(TRAINING): v for k, v in pairs.items() if k.startswith(TRAINING)}
    return NeuroformerPlan(Neuroformer(_assigned(chosen, own)), training_of(training, loop, seed))


def training_of(training: TrainingConfig, loop: Mapping[str, Any], seed: int) -> TrainingConfig:
    """Return a training with another seed and settings, whose warm-up is no longer than it may.

    Examples
    --------
    >>> training_of(Neuroformer.default_training, {"n_steps": 100}, 3).warmup_steps
    25
    """
    found = assign(replace(training, seed=seed, warmup_steps=0), loop)
    if "warmup_steps" in loop:
        return found
    # a short run cannot warm up for as long
    return replace(found, warmup_steps=min(training.warmup_steps, found.n_steps // 4))


def with_targets(config: NeuroformerConfig, names: Sequence[str]) -> NeuroformerConfig:
    """Return settings that decode these behaviors, and no others; known ones stay as they are.

    Examples
    --------
    >>> [target.kind for target in with_targets(NeuroformerConfig(), ["speed"]).targets]
    ['regression']
    """
    known = {target.name: target for target in config.targets}
    targets = (known.get(name, BehaviorTarget(name=name)) for name in dict.fromkeys(names))
    return replace(config, targets=tuple(targets))


def _start(
    preset: str | None, config: str | Path | None
) -> tuple[NeuroformerConfig, TrainingConfig]:
    """Return the settings of a preset or of a file."""
    training = Neuroformer.default_training
    if config is None:
        return neuroformer_preset(preset or "small"), training
    run = from_toml(RunConfig, config)
    if run.estimator != Neuroformer.name:
        raise ConfigError("the file is about another model", where=config, found=run.estimator)
    start = NeuroformerConfig() if preset is None else neuroformer_preset(preset)
    return assign(start, run.model), assign(training, run.training)


def _with_behavior(
    config: NeuroformerConfig, read: Sequence[str], decode: Sequence[str]
) -> NeuroformerConfig:
    """Return settings that read and decode these behaviors, where any are named."""
    both = sorted({*read} & {*decode})
    if both:
        raise ConfigError(
            "a behavior is read and decoded, which tells nothing of spikes",
            found=", ".join(both),
        )
    if read:
        known = {one.name: one for one in config.behavior}
        inputs = (known.get(name, BehaviorInput(name=name)) for name in dict.fromkeys(read))
        config = _with_stage(config, "behavior", behavior=tuple(inputs))
    return with_targets(config, decode) if decode else config


def _stimulus(name: str, data: xr.DataTree | None, config: NeuroformerConfig) -> StimulusInput:
    """Return how a signal is read: as the settings do, where it is of their kind."""
    if data is None:
        raise ConfigError("a stimulus needs the recording that has it", found=name)
    # one that has no name is called by its kind
    named = None if name == "signal" and rec.names(data).get("signal") == [""] else name
    attrs = rec.pick(data, "signal", named).attrs
    kind: Literal["video", "features"]
    kind = "video" if {"height", "width"} <= attrs.keys() else "features"
    start = config.stimulus
    known = start if start is not None and start.kind == kind else StimulusInput(kind=kind)
    return replace(known, name=named)


def _with_stage(config: NeuroformerConfig, source: str, **read: Any) -> NeuroformerConfig:
    """Return settings that read more, with a stage for it."""
    stages = list(config.stages)
    if source not in config.layers:
        earlier = [row for row, stage in enumerate(stages) if stage.source != "self"]
        last = earlier[-1] if earlier else len(stages) - 1
        like: Any = {"source": source, "self_attention": stages[last].self_attention}
        stages.insert(last + 1, Stage(**like))
    return replace(config, stages=tuple(stages), **read)


def _assigned(config: NeuroformerConfig, settings: Mapping[str, str]) -> NeuroformerConfig:
    """Return settings with some replaced; items of lists are reached by number or name."""
    inner = {key for key in settings if key.partition(".")[0] in LISTED and "." in key}
    config = assign(config, {key: value for key, value in settings.items() if key not in inner})
    for key in sorted(inner):
        group, _, rest = key.partition(".")
        item, _, field = rest.partition(".")
        items = list(getattr(config, group))
        names = [str(getattr(one, LISTED[group])) for one in items]
        place = int(item) if item.isdecimal() else names.index(item) if item in names else -1
        if not 0 <= place < len(items) or not field:
            raise ConfigError(f"unknown key {key!r}", hint=suggest(item, names))
        items[place] = assign(items[place], {field: settings[key]})
        changed: dict[str, Any] = {group: tuple(items)}
        config = replace(config, **changed)
    return config
