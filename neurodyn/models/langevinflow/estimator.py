"""LangevinFlow behind the estimator contract: labelled rates, latents, forces and diagnostics."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from neurodyn.errors import ConfigError
from neurodyn.metrics.spikes import bits_per_spike
from neurodyn.models.context import DataContext, TrialCounts
from neurodyn.models.langevinflow import diagnostics
from neurodyn.models.langevinflow.config import LangevinFlowConfig
from neurodyn.models.langevinflow.integrators import Baoab
from neurodyn.models.langevinflow.latents import LangevinNetwork
from neurodyn.models.langevinflow.network import build_network
from neurodyn.models.langevinflow.objective import LangevinObjective
from neurodyn.models.langevinflow.potentials import RingPotential
from neurodyn.models.langevinflow.presets import preset
from neurodyn.models.torch_estimator import TorchEstimator
from neurodyn.recording import results
from neurodyn.training import Objective, TrainingConfig

__all__ = ["LangevinFlowEstimator"]

_PATH = ("trial", "time", "factor")


class LangevinFlowEstimator(TorchEstimator[LangevinFlowConfig]):
    """Latent Langevin dynamics in a learned potential, driven by inferred forces.

    ``transform`` gives, along the path of the posterior mean, ``latent`` (position), ``velocity``
    and ``force`` ``(trial, time, factor)``, ``hidden`` and ``energy``. The force of a bin is the
    one that acted on the way into it; nothing acts on the way into the first one.

    Examples
    --------
    >>> from neurodyn import recording
    >>> count = np.random.default_rng(0).poisson(1.0, (4, 10, 3))
    >>> counts = recording.counts(count, bin_size=0.02, held_out=[False, False, True])
    >>> model = LangevinFlowEstimator(n_groups=1, n_sites=4, encoder_size=4)
    >>> model.fit(counts, training=TrainingConfig(n_steps=2)).predict(counts)["rate"].shape
    (4, 10, 3)
    """

    name = "langevinflow"
    config_class = LangevinFlowConfig
    default_training = TrainingConfig(
        n_steps=1000,
        batch_size=64,
        optimizer="adam",
        learning_rate=3e-3,
        schedule="cosine",
        warmup_steps=50,
        gradient_clip=5.0,
    )
    search_space: ClassVar[dict[str, tuple[Any, ...]]] = {
        "encoder_size": (48, 64, 96),
        "n_sites": (8, 16),
        "decoder": ("linear", "transformer"),
        "keep_prob": (0.2, 0.3, 0.5),
        "dropout": (0.05, 0.1, 0.3),
        "beta": (0.05, 0.1, 0.2, 0.5),
        "training__learning_rate": (1e-3, 3e-3),
    }
    result_dims: ClassVar[dict[str, tuple[str, ...]]] = {
        "latent": _PATH,
        "velocity": _PATH,
        "force": _PATH,
        "hidden": ("trial", "time", "hidden_unit"),
        "energy": ("trial", "time"),
    }

    @classmethod
    def preset(
        cls, dataset: str, *, mode: Literal["elbo", "ccn2025"] = "elbo", **settings: Any
    ) -> tuple[Self, TrainingConfig]:
        """Return an estimator and how to train it, as known to work on a data set.

        Parameters
        ----------
        dataset
            A name of :data:`neurodyn.models.langevinflow.presets.DATASETS`.
        mode
            The variational model or the published one.
        **settings
            Settings that replace those of the preset.

        Raises
        ------
        ConfigError
            For an unknown name.

        Examples
        --------
        >>> model, training = LangevinFlowEstimator.preset("mc_maze_small")
        >>> model.config.mode, training.optimizer
        ('elbo', 'adam')
        """
        found = preset(dataset, mode=mode)
        return cls(found.model, **settings), TrainingConfig(**found.training)

    def build_network(self, config: LangevinFlowConfig, context: DataContext) -> nn.Module:
        """Return a new network of the configured mode."""
        return build_network(config, context.n_inputs, context.n_units)

    def objective(self, config: LangevinFlowConfig, context: DataContext) -> Objective:
        """Return the negative ELBO under coordinated dropout, or the published loss."""
        return LangevinObjective(config, context.held_out, context.n_forward)

    def infer(self, network: nn.Module, count: Tensor) -> dict[str, Tensor]:
        """Return averaged expected counts, and latents along the posterior mean."""
        model, n_forward = cast(LangevinNetwork, network), self.context_.n_forward
        latents = model.flow(model.encode(count, n_forward))
        return {
            "log_expected_count": torch.log(model.predict(count, n_forward)),
            "latent": latents.position,
            "velocity": latents.velocity,
            "force": nn.functional.pad(latents.force, (0, 0, 1, 0)),
            "hidden": latents.hidden,
            "energy": diagnostics.energy(model, latents),
        }

    def autonomous_rates(self, data: xr.DataTree | xr.Dataset) -> xr.Dataset:
        """Return rates of the dynamics left to themselves after the inferred initial state.

        Returns
        -------
        xr.Dataset
            ``log_rate`` and ``rate`` [spikes/s] as of ``predict``.

        Raises
        ------
        NotFittedError, DataError, TimebaseError
            As ``predict``.
        """
        counts, inputs = self._checked(data)
        expected = diagnostics.autonomous_rollout(
            self._network, self._on_device(inputs), self.context_.n_forward
        )
        return self._as_rates(np.log(expected.cpu().numpy()), counts, inputs, "autonomous_rates")

    def shuffle_costs(self, data: xr.DataTree | xr.Dataset, seed: int = 0) -> xr.Dataset:
        """Exchange parts of the latents between trials and say what each exchange costs.

        A model whose latents carry the signal gets much worse; one that ignores them does not.

        Parameters
        ----------
        data
            Counts of all units, two trials at least.
        seed
            Of the exchange and of the samples.

        Returns
        -------
        xr.Dataset
            ``(part,)`` with parts ``intact``, ``z``, ``v``, ``h`` and ``zv`` (jointly): ``cost``
            [nats per element of all units and bins] and ``co_bps`` of held-out units (NaN if
            there are none).

        Raises
        ------
        ConfigError
            With a single trial.
        NotFittedError, DataError, TimebaseError
            As ``score``.
        """
        counts, inputs = self._checked(data)
        context = self.context_
        target = context.targets(counts)
        predicted = diagnostics.shuffled_predictions(
            self._network, self._on_device(inputs), context.n_forward, seed=seed
        )
        masked = np.where(target.observed, target.count, np.nan).astype(np.float64)
        expected = {name: rate.double().cpu().numpy() for name, rate in predicted.items()}
        loss = {
            name: float(np.nanmean(rate - masked * np.log(rate))) for name, rate in expected.items()
        }
        scored = (slice(None), slice(context.n_time), np.asarray(context.held_out))
        co_bps = [
            bits_per_spike(rate[scored], masked[scored]) if any(context.held_out) else np.nan
            for rate in expected.values()
        ]
        cost = [loss[name] - loss["intact"] for name in expected]
        return results(
            {
                "cost": ("part", cost, {"units": "nats per element"}),
                "co_bps": ("part", co_bps, {"units": "bits per spike"}),
            },
            {"part": list(expected)},
            **self._origin(),
        )

    def dispersion(self) -> xr.Dataset:
        """Return the normal modes of the learned oscillators.

        Returns
        -------
        xr.Dataset
            ``frequency`` [Hz], ``phase_velocity`` and ``group_velocity`` [sites/s] and
            ``quality`` ``(wave_number, mode)``; wave number in rad per site, ascending.

        Raises
        ------
        ConfigError
            If the potential has no rings.
        NotFittedError
            Before ``fit``.
        """
        self._require_fitted()
        potential, integrator = self._network.potential, self._network.integrator
        if not isinstance(potential, RingPotential) or not isinstance(integrator, Baoab):
            raise ConfigError(
                "only oscillators on rings have a dispersion relation",
                found=f"mode={self.config.mode!r}, potential={self.config.potential!r}",
                expected="mode='elbo', potential='ring_psd'",
            )
        found = diagnostics.dispersion(
            potential, step=integrator.step.item(), damping=integrator.damping.item()
        )
        order = torch.argsort(found.wave_number)
        per_second = 1 / self.context_.bin_size
        columns = {
            "frequency": (found.frequency * per_second / (2 * np.pi), "Hz"),
            "phase_velocity": (found.phase_velocity * per_second, "sites/s"),
            "group_velocity": (found.group_velocity * per_second, "sites/s"),
            "quality": (found.quality, "1"),
        }
        dims = ("wave_number", "mode")
        return results(
            {
                name: (dims, tensor[order].detach().cpu().numpy(), {"units": unit})
                for name, (tensor, unit) in columns.items()
            },
            {"wave_number": found.wave_number[order].detach().cpu().numpy()},
            **self._origin(),
        )

    @property
    def _network(self) -> LangevinNetwork:
        return cast(LangevinNetwork, self.network_.eval())

    def _checked(self, data: xr.DataTree | xr.Dataset) -> tuple[xr.Dataset, TrialCounts]:
        self._require_fitted()
        counts = self._trials(data)
        return counts, self.context_.inputs(counts)

    def _on_device(self, inputs: TrialCounts) -> Tensor:
        return torch.from_numpy(inputs.count).to(next(self.network_.parameters()).device)
