"""Neuroformer as an estimator: it predicts, generates and decodes, and tells who drives whom."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self, cast

import torch
import xarray as xr
from torch import nn

from neurodyn.errors import ConfigError, one_of
from neurodyn.models.base import RunConfig, arrays_digest
from neurodyn.models.neuroformer import readout
from neurodyn.models.neuroformer.adaptation import adapted, few_windows, freeze
from neurodyn.models.neuroformer.config import BehaviorTarget, NeuroformerConfig
from neurodyn.models.neuroformer.connectivity import Measure, connectivity
from neurodyn.models.neuroformer.context import (
    NeuroformerContext,
    has_behavior,
    refuse_leak,
    spikes_digest,
)
from neurodyn.models.neuroformer.generation import Sampling
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.objective import NeuroformerObjective
from neurodyn.models.neuroformer.recordings import token_windows, tokenizer_for
from neurodyn.models.neuroformer.simulation import simulate_windows
from neurodyn.models.neuroformer.token_windows import TokenWindows
from neurodyn.models.run_folder import Run
from neurodyn.models.trained_network import BUILD_STREAM, TrainedNetwork
from neurodyn.nlb.guard import refuse_evaluation
from neurodyn.provenance import add_history
from neurodyn.recording import results
from neurodyn.training import TrainingConfig
from neurodyn.training.randomness import random_scope
from neurodyn.training.run_folder import Resume

__all__ = ["Neuroformer"]

Data = xr.DataTree | xr.Dataset
GIVEN_PAST = "bits_per_spike_given_past"


class Neuroformer(TrainedNetwork[NeuroformerConfig]):
    """Generative transformer of spikes that reads what was before, a stimulus and behavior.

    Data are a recording: spikes and, as the settings name them, a stimulus (kind ``signal``),
    behaviors and trials. Units are matched by label; windows lie in what was observed of all.

    References
    ----------
    Antoniades et al. (2024). Neuroformer: multimodal and multitask generative pretraining for
    brain data. ICLR, arXiv 2311.00136.

    Examples
    --------
    >>> import numpy as np
    >>> from neurodyn.recording import spikes_from_units
    >>> time = np.sort(np.random.default_rng(0).uniform(0, 20, 100))
    >>> spikes = spikes_from_units({"a": time}, observed=[[0.0, 20.0]])
    >>> model = Neuroformer(size=16, n_heads=2, past=0.1)
    >>> model = model.fit(spikes, training=TrainingConfig(n_steps=2))
    >>> model.predict(spikes)["rate"].dims
    ('time', 'unit')
    """

    name = "neuroformer"
    data_kind = "spikes"
    config_class = NeuroformerConfig
    default_training = TrainingConfig(
        n_steps=2000,
        batch_size=64,
        optimizer="adamw",
        learning_rate=1e-3,
        weight_decay=0.01,
        betas=(0.9, 0.95),
        schedule="cosine",
        warmup_steps=50,
        gradient_clip=1.0,
        ema_decay=0.99,
        monitor="bits_per_spike",
        monitor_mode="max",
        validate_every=250,
    )
    context_: NeuroformerContext
    data_: dict[str, Any]
    network_: NeuroformerNetwork

    def fit(
        self,
        data: Data,
        *,
        validation: Data | None = None,
        training: TrainingConfig | None = None,
        resume: Resume = None,
        folder: str | Path | None = None,
    ) -> Self:
        """Learn to predict the spikes of windows, and the behaviors that are targets.

        Parameters
        ----------
        data
            Training recording. Windows begin every ``stride`` of the settings.
        validation
            Another part of the recording, or another one of the same units; the score that
            ``training`` monitors chooses the weights.
        training, resume, folder
            As in every trained estimator.

        Raises
        ------
        DataError
            If windows of one part read what those of the other predict.
        LeakageError
            If data are marked as evaluation data.
        ConfigError, CheckpointError, TrainingDivergedError
            As :func:`neurodyn.training.train`.
        EmptySelectionError
            If there are no windows, or no stimulus or behavior that is read.
        """
        self._forget()
        refuse_evaluation(data)
        windows = self._training_windows(data, tokenizer_for(data, self.config))
        self.context_ = NeuroformerContext.of(data, windows, self.config)
        network = cast(NeuroformerNetwork, self._begin_training(training, len(windows)))
        network.set_scales(windows.scales())
        network.set_rates(self.context_.expected_counts)
        self._learn(network, data, windows, validation, folder, resume)
        return self

    def finetune(
        self,
        data: Data,
        *,
        targets: Iterable[BehaviorTarget] | None = None,
        share: float = 1.0,
        frozen: Iterable[str] = (),
        validation: Data | None = None,
        training: TrainingConfig | None = None,
        resume: Resume = None,
        folder: str | Path | None = None,
    ) -> Neuroformer:
        """Return this model trained further: on another session, on few windows, or to decode.

        Units that it does not know are added; known ones, by label, keep what was learned.

        Parameters
        ----------
        data
            Recording of the new session, or of the old one.
        targets
            Behaviors to decode from now on; those so far if not given. Heads of new ones are
            fresh, and standardised by this recording's training windows.
        share
            Of the training windows that are used, drawn at random by the seed of ``training``.
        frozen
            Parts that stay as they are, of :data:`~neurodyn.models.neuroformer.adaptation.PARTS`.
        validation, training, resume, folder
            As in :meth:`fit`.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ConfigError
            For an unknown part or share, or if everything is frozen.
        DataError, LeakageError, EmptySelectionError, CheckpointError, TrainingDivergedError
            As :meth:`fit`.
        """
        self._require_fitted()
        refuse_evaluation(data)
        config = self.config
        if targets is not None:
            config = replace(config, targets=tuple(targets))
        other = type(self)(config)
        known = self.context_.tokenizer
        windows = other._training_windows(data, known.extend(tokenizer_for(data, config)))
        other.context_ = NeuroformerContext.of(data, windows, config)
        settings = training or self.training_
        chosen = few_windows(len(windows), share, settings.seed)
        other.training_ = replace(settings, batch_size=min(settings.batch_size, len(chosen)))
        with random_scope([settings.seed, BUILD_STREAM], torch.device("cpu")):
            network = adapted(
                self.network_.cpu(), config, windows.sizes(), other.context_.expected_counts
            )
        network.set_scales(windows.take(chosen).scales())
        freeze(network, frozen)
        other._learn(network, data, windows.take(chosen), validation, folder, resume)
        return other

    def transform(self, data: Data, *, step: float | None = None) -> xr.Dataset:
        """Return the latents of windows.

        Parameters
        ----------
        data
            A recording.
        step
            From one window to the next [s]; a window if not given.

        Returns
        -------
        xr.Dataset
            ``latent`` float32 ``(window, latent)``, the mean state; coordinates ``start`` and
            ``stop`` [s] and ``stretch``.

        Raises
        ------
        NotFittedError, DataError, EmptySelectionError
            Before ``fit``; for unknown units; without windows.
        """
        return self._labelled(
            readout.latents(self._network(), self.windows(data, step, ())), "transform"
        )

    def predict(self, data: Data, *, n_samples: int = 16) -> xr.Dataset:
        """Return the rate of every unit in every bin, given the bins before it alone.

        Parameters
        ----------
        data
            A recording.
        n_samples
            Draws of each bin, over spikes that depend on each other in it.

        Returns
        -------
        xr.Dataset
            ``rate`` [spikes/s] and ``log_rate`` float64 ``(time, unit)``; bins without a whole
            past are not among them.

        Raises
        ------
        NotFittedError, DataError, EmptySelectionError
            As :meth:`transform`.
        """
        found = self._labelled(
            readout.rates(self._network(), self.windows(data, targets=()), n_samples=n_samples),
            "predict",
        )
        return found.assign_attrs(bin_size=self.config.bin_size)

    def score(self, data: Data, metric: str = "bits_per_spike") -> xr.Dataset:
        """Return a score of windows that follow one another.

        Parameters
        ----------
        data
            A recording.
        metric
            ``"bits_per_spike"``, exact, against the Poisson null of the training windows;
            ``"bits_per_spike_given_past"``, without what spikes of the same bin tell, from draws;
            ``"bits_per_mark"``; ``"loss"`` [nats per token]; ``"r2:<name>"`` or
            ``"accuracy:<name>"`` of a target.

        Raises
        ------
        NotFittedError, DataError, EmptySelectionError, ConfigError
            As :meth:`transform`; for an unknown metric.
        """
        windows, objective = self.windows(data), self._objective()
        if metric == GIVEN_PAST:
            found = {metric: objective.given_past(self._network(), windows)}
        else:
            found = objective.validate(self._network(), windows)
        one_of("metric", metric, (*found, GIVEN_PAST))
        return self._labelled(({metric: found[metric]}, {}), "score")

    def scores(self, data: Data) -> dict[str, float]:
        """Return all scores of a recording by name; see :meth:`score`."""
        windows, objective = self.windows(data), self._objective()
        found = objective.validate(self._network(), windows)
        return {**found, GIVEN_PAST: objective.given_past(self._network(), windows)}

    def decode(
        self, data: Data, name: str | None = None, *, step: float | None = None
    ) -> xr.Dataset:
        """Return a behavior as it is decoded from each window, and as it was.

        Parameters
        ----------
        data
            A recording, with the behavior or without.
        name
            Which target; not needed if there is one.
        step
            From one window to the next [s]; a window if not given.

        Returns
        -------
        xr.Dataset
            ``predicted`` and ``true`` ``(time, feature)``, NaN where unknown; of classes also
            ``probability (time, class)``.

        Raises
        ------
        NotFittedError, DataError, EmptySelectionError, ConfigError
            As :meth:`transform`; if no target, or another one, is decoded.
        """
        self._require_fitted()
        by_name = {target.name: target for target in self.config.targets}
        if not by_name:
            raise ConfigError(
                "nothing is decoded by this model",
                hint="finetune(data, targets=[BehaviorTarget(name=...)])",
            )
        if name is None and len(by_name) == 1:
            (name,) = by_name
        one_of("name", name, tuple(by_name))
        target = by_name[str(name)]
        windows = self.windows(data, step, [target.name] if has_behavior(data, target.name) else ())
        found = readout.decoded_behavior(
            self._network(), windows, target, self.context_.features[target.name]
        )
        return self._labelled(found, "decode").assign_attrs(behavior=target.name)

    def simulate(
        self,
        data: Data,
        *,
        n_samples: int = 1,
        seed: int = 0,
        past: Literal["generated", "true"] = "generated",
        burn_in: float = 0.0,
        segment: float | None = None,
        sampling: Sampling | None = None,
    ) -> xr.DataTree:
        """Return spikes that the model generates where the recording has been observed.

        See :func:`~neurodyn.models.neuroformer.simulation.simulate_windows`, which takes all of
        these; stimulus, behavior and the first past are those of ``data``.

        Raises
        ------
        NotFittedError, DataError, EmptySelectionError, ConfigError
            As :meth:`transform`; for impossible settings.
        """
        return simulate_windows(
            self._network(),
            self.windows(data, targets=()),
            n_samples=n_samples,
            seed=seed,
            past=past,
            burn_in=burn_in,
            segment=segment,
            sampling=sampling,
            most_spikes=self.context_.most_spikes,
            original=data if isinstance(data, xr.DataTree) else None,
            estimator=self.name,
            config_uid=self.config_uid,
            checkpoint=self.arrays_digest_,
        )

    def connectivity(self, data: Data, measure: Measure = "deletion", **options: Any) -> xr.Dataset:
        """Return who drives whom: ``score (unit, unit_to)`` with its direction and intervals.

        See :func:`~neurodyn.models.neuroformer.connectivity.connectivity` for measures and
        options.

        Raises
        ------
        NotFittedError, DataError, EmptySelectionError, ConfigError
            As :meth:`transform`; for an unknown measure or a setting out of range.
        """
        windows = self.windows(data, targets=())
        found = connectivity(self._network(), windows, measure, **options)
        return self._named(found, "connectivity")

    def windows(
        self, data: Data, step: float | None = None, targets: Iterable[str] | None = None
    ) -> TokenWindows:
        """Return the windows of a recording as this model reads them.

        ``step`` from one to the next in seconds; ``targets`` are the behaviors that are decoded
        and have to be there, all if not given.
        """
        self._require_fitted()
        config = self.config
        if targets is not None:
            wanted = set(targets)
            config = replace(config, targets=tuple(t for t in config.targets if t.name in wanted))
        found = token_windows(data, config, self.context_.tokenizer, step=self._bins("step", step))
        return self.context_.check(data, found)

    def _bins(self, name: str, seconds: float | None) -> int | None:
        if seconds is None:
            return None
        if not 0 < seconds < math.inf:
            raise ConfigError(f"invalid value for {name}", found=seconds, expected="above 0 [s]")
        return max(1, round(seconds / self.config.bin_size))

    def _training_windows(self, data: Data, tokenizer: Any) -> TokenWindows:
        step = self._bins("stride", self.config.stride)
        return token_windows(data, self.config, tokenizer, step=step)

    def _learn(
        self,
        network: NeuroformerNetwork,
        data: Data,
        windows: TokenWindows,
        validation: Data | None,
        folder: str | Path | None,
        resume: Resume,
    ) -> None:
        self.data_ = {"digest": spikes_digest(data), "n_windows": len(windows)}
        checked = None
        if validation is not None:
            refuse_evaluation(validation)
            checked = self.context_.check(
                validation, token_windows(validation, self.config, self.context_.tokenizer)
            )
            refuse_leak((data, windows), (validation, checked))
        self._train(
            network,
            self._objective(),
            windows,
            validation=checked,
            folder=folder,
            resume=resume,
        )
        self.network_.requires_grad_(True)
        self.arrays_digest_ = arrays_digest(self._arrays())
        if folder is not None:
            self.save(folder)

    def _build(self) -> nn.Module:
        return NeuroformerNetwork(self.config, self.context_.sizes)

    def _network(self) -> NeuroformerNetwork:
        self._require_fitted()
        network: NeuroformerNetwork = self.network_.eval()
        return network

    def _objective(self) -> NeuroformerObjective:
        expected = torch.tensor(self.context_.expected_counts, dtype=torch.float64)
        return NeuroformerObjective(self.config, expected)

    def _labelled(self, found: readout.Labelled, step: str) -> xr.Dataset:
        return self._named(results(*found), step)

    def _named(self, found: xr.Dataset, step: str) -> xr.Dataset:
        named = found.assign_attrs(
            estimator=self.name, config_uid=self.config_uid, checkpoint=self.arrays_digest_
        )
        return add_history(named, step, estimator=self.name)

    def _restore(self, run: Run, settings: RunConfig) -> None:
        self.context_ = NeuroformerContext.from_json(run.metadata["context"])
        self.data_ = json.loads(run.metadata["data"])
        self.arrays_digest_ = arrays_digest(run.arrays)
        self._restore_network(run, settings)

    def _metadata(self) -> dict[str, str]:
        return {"context": self.context_.to_json(), "data": json.dumps(self.data_)}

    def _provenance(self) -> dict[str, Any]:
        return {
            "inputs": {"spikes": self.data_},
            "device": str(self.device),
            "seed": self.training_.seed,
        }
