"""BrainMAE as a model of Brainmarks, the field's benchmark of pre-trained models of fMRI.

Brainmarks finds models as files of its namespace package ``brainmarks.models``. The file that
registers this one has three lines; see "Benchmark BrainMAE elsewhere" in the documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurodyn.errors import ConfigError, one_of
from neurodyn.models.brainmae.config import BrainMAEConfig
from neurodyn.models.brainmae.context import RoiContext, run_windows
from neurodyn.models.brainmae.estimator import BrainMAE
from neurodyn.models.brainmae.network import BrainMAENetwork
from neurodyn.recording import bold
from neurodyn.training.randomness import random_scope

__all__ = ["SPACES", "BrainmarksTransform", "BrainmarksWrapper", "brainmarks_model"]

SPACES = {
    "schaefer400": 400,
    "schaefer400_tians3": 450,
    "schaefer400_tians3_buckner7": 457,
    "a424": 424,
}
"""Spaces of Brainmarks that consist of regions, and how many."""


class BrainmarksTransform:
    """A sample of Brainmarks as windows of segments.

    Parameters
    ----------
    context, config
        Of the model.
    n_windows
        How many windows of a sample to take, from its start; all if None.
    """

    def __init__(
        self, context: RoiContext, config: BrainMAEConfig, n_windows: int | None = None
    ) -> None:
        self.context, self.config, self.n_windows = context, config, n_windows

    def __call__(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Return the sample with windows in place of its series.

        Parameters
        ----------
        sample
            ``bold (time, roi)``, z-scored, and ``tr`` [s]. ``mean`` and ``std`` say nothing to a
            model that works on z-scores, and are left out.

        Returns
        -------
        dict
            ``bold`` and ``observed`` ``(window, segment, roi, frame)``, ``time (window,
            segment)``, and what else the sample has.
        """
        values = np.asarray(sample["bold"], dtype=np.float32)
        run = bold(values, repetition_time=float(sample["tr"]), roi=list(self.context.roi))
        windows = run_windows({"sample": run}, self.context, self.config)
        batch = windows.gather(np.arange(len(windows))[: self.n_windows])
        kept = {name: value for name, value in sample.items() if name not in ("mean", "std", "tr")}
        return {**kept, **{name: batch[name] for name in ("bold", "observed", "time")}}


class BrainmarksWrapper(nn.Module):
    """The encoder, giving embeddings in the form that Brainmarks expects.

    Parameters
    ----------
    network
        Its decoder is left out.
    space
        One of :data:`SPACES`.
    """

    def __init__(self, network: BrainMAENetwork, space: str) -> None:
        super().__init__()
        network.decoder = nn.Identity()  # type: ignore[assignment]
        self.network, self.__space__ = network, space

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, None, Tensor]:
        """Return embeddings of samples.

        Parameters
        ----------
        batch
            What :class:`BrainmarksTransform` gives, with a batch axis in front.

        Returns
        -------
        tuple
            Mean summary of the windows ``(batch, 1, latent)``; None, for registers; states of the
            segments that any sample of the batch has ``(batch, segment, latent)``.
        """
        flat = {name: batch[name].flatten(0, 1) for name in ("bold", "observed", "time")}
        state, summary = self.network.encode(**flat)
        n = len(batch["bold"])
        present = batch["observed"].any(dim=(3, 4)).flatten(1).any(dim=0)
        states = state.reshape(n, -1, state.shape[-1])[:, present]
        return summary.reshape(n, -1, summary.shape[-1]).mean(1, keepdim=True), None, states


def brainmarks_model(
    space: str = "schaefer400",
    *,
    run: str | None = None,
    n_windows: int | None = None,
    seed: int = 0,
    **settings: Any,
) -> tuple[BrainmarksTransform, BrainmarksWrapper]:
    """Return what ``brainmarks.models.registry.register_model`` wants: a transform and a model.

    Parameters
    ----------
    space
        One of :data:`SPACES`.
    run
        Run folder of a pre-trained :class:`neurodyn.models.BrainMAE`. Brainmarks names no
        regions: those of the model must be in the order of the space.
    n_windows
        As in :class:`BrainmarksTransform`: 1 where samples differ in length.
    seed, **settings
        Without ``run``: of the weights, and settings of :class:`BrainMAEConfig`. The model is
        then untrained, which is the control, and what the tests of Brainmarks need.

    Raises
    ------
    ConfigError
        If the space has no regions, the model has another number of them, or settings are given
        beside ``run``.
    CheckpointError
        If there is no such run.

    Examples
    --------
    >>> small = {"node_size": 8, "node_heads": 2, "state_size": 16, "state_heads": 2}
    >>> transform, model = brainmarks_model("a424", **small)
    >>> sample = transform({"bold": torch.randn(60, 424), "tr": 2.0})
    >>> cls, _, patch = model({name: value[None] for name, value in sample.items()})
    >>> cls.shape, patch.shape
    (torch.Size([1, 1, 16]), torch.Size([1, 8, 16]))
    """
    one_of("space", space, SPACES)
    if run is None:
        config = BrainMAEConfig(**settings)
        names = tuple(map(str, range(1, SPACES[space] + 1)))
        context = RoiContext(names, ("",) * len(names), (), space)
        with random_scope([seed], torch.device("cpu")):
            network = BrainMAENetwork(config, context.n_rois, config.n_frames)
        network.eval()
    else:
        model = BrainMAE.load(run)
        config, context, network = model.config, model.context_, model.network_
    if run is not None and (settings or context.n_rois != SPACES[space]):
        raise ConfigError(
            "pre-trained model does not fit the space" if not settings else "settings are fixed",
            where=run,
            found=", ".join(settings) or f"{context.n_rois} regions",
            expected="no settings beside run" if settings else f"{SPACES[space]} of {space}",
        )
    return BrainmarksTransform(context, config, n_windows), BrainmarksWrapper(network, space)
