"""BrainMAE as an estimator: pre-trained on fMRI runs, giving states, reconstructions and scores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import nn

from neurodyn.errors import ConfigError, DataError, one_of
from neurodyn.models.base import RunConfig, arrays_digest
from neurodyn.models.batches import batches
from neurodyn.models.brainmae.config import BrainMAEConfig
from neurodyn.models.brainmae.context import (
    RoiContext,
    bold_runs,
    refuse_shared_subjects,
    run_windows,
    runs_digest,
)
from neurodyn.models.brainmae.features import ENCODED_AT_ONCE
from neurodyn.models.brainmae.network import BrainMAENetwork
from neurodyn.models.brainmae.objective import ReconstructionObjective
from neurodyn.models.run_folder import Run
from neurodyn.models.trained_network import TrainedNetwork
from neurodyn.nlb.guard import refuse_evaluation
from neurodyn.provenance import add_history
from neurodyn.recording import results
from neurodyn.training import TrainingConfig
from neurodyn.training.run_folder import Resume
from neurodyn.windows import RunWindows

__all__ = ["BrainMAE"]

METRICS = ("masked_r2", "visible_r2")
# distance [mm] over which embeddings of a known atlas speak for a region of another
SPREAD = 10.0


class BrainMAE(TrainedNetwork[BrainMAEConfig]):
    """Masked autoencoder of fMRI segments with learned embeddings of brain regions.

    Data are one run, a dataset of kind ``bold`` with dims ``(time, roi)``, or a recording with
    several. Runs are brought to ``repetition_time`` and z-scored; regions are matched by name; a
    region that is NaN and frames that are censored (``keep`` False) are masked throughout.

    There is no published code or weights: this follows the paper's description, with sizes and
    details of our own where it is silent.

    References
    ----------
    Yang et al. (2024). BrainMAE: a region-aware self-supervised learning framework for brain
    signals. arXiv 2406.17086.

    Examples
    --------
    >>> from neurodyn.recording import bold
    >>> values = np.random.default_rng(0).normal(size=(80, 6))
    >>> model = BrainMAE(node_size=8, node_heads=2, state_size=16, state_heads=2, n_segments=4)
    >>> model = model.fit(bold(values, repetition_time=1.5), training=TrainingConfig(n_steps=2))
    >>> model.transform(bold(values, repetition_time=1.5))["state"].dims
    ('window', 'segment', 'latent')
    """

    name = "brainmae"
    data_kind = "bold"
    config_class = BrainMAEConfig
    default_training = TrainingConfig(
        n_steps=4000,
        batch_size=16,
        optimizer="adamw",
        learning_rate=1e-3,
        weight_decay=0.05,
        betas=(0.9, 0.95),
        schedule="cosine",
        warmup_steps=200,
        gradient_clip=1.0,
        monitor="masked_r2",
        monitor_mode="max",
        validate_every=200,
    )
    context_: RoiContext
    data_: dict[str, Any]
    network_: BrainMAENetwork

    def fit(
        self,
        data: xr.DataTree | xr.Dataset,
        *,
        validation: xr.DataTree | xr.Dataset | None = None,
        training: TrainingConfig | None = None,
        resume: Resume = None,
        folder: str | Path | None = None,
    ) -> Self:
        """Pre-train: predict what is hidden of a segment from what is not.

        Parameters
        ----------
        data
            Training runs.
        validation
            Runs of other subjects; ``masked_r2`` under fixed masks chooses the weights.
        training, resume, folder
            As in every trained estimator.

        Raises
        ------
        DataError
            If runs differ in regions, or a subject is in training and validation.
        LeakageError
            If data are marked as evaluation data.
        ConfigError, CheckpointError, TrainingDivergedError
            As :func:`neurodyn.training.train`.
        """
        config = self.config
        self._forget()
        refuse_evaluation(data)
        runs = bold_runs(data)
        self.context_ = RoiContext.of(runs)
        source = run_windows(runs, self.context_, config, step=config.n_frames)
        self.data_ = {"digest": runs_digest(runs), "n_runs": len(runs), "n_windows": len(source)}
        self.data_["subjects"] = sorted(
            {str(run.attrs["subject"]) for run in runs.values() if "subject" in run.attrs}
        )
        checked = None
        if validation is not None:
            refuse_evaluation(validation)
            others = bold_runs(validation)
            refuse_shared_subjects(runs, others)
            checked = run_windows(others, self.context_, config)
        network = self._begin_training(training, len(source))
        self._train(
            network, self._objective(), source, validation=checked, folder=folder, resume=resume
        )
        self.arrays_digest_ = arrays_digest(self._arrays())
        if folder is not None:
            self.save(folder)
        return self

    def transform(self, data: xr.DataTree | xr.Dataset) -> xr.Dataset:
        """Return the states of segments and the summaries of windows, nothing hidden.

        Returns
        -------
        xr.Dataset
            ``state`` float32 ``(window, segment, latent)``, NaN for a segment without data;
            ``cls`` float32 ``(window, latent)``. Coordinates of ``window``: ``run``, ``subject``
            where known, and ``start`` [s] from the first frame of the run; of ``segment``:
            ``segment_start`` [s] from the start of the window.

        Raises
        ------
        NotFittedError, DataError, EmptySelectionError
            Before ``fit``; for other regions; for runs without enough frames.
        """
        self._require_fitted()
        runs = bold_runs(data)
        windows = run_windows(runs, self.context_, self.config)
        states, summaries = [], []
        for batch in self._batches(windows):
            state, summary = self.network_.encode(batch["bold"], batch["observed"], batch["time"])
            empty = ~batch["observed"].any(dim=(2, 3))
            states.append(state.masked_fill(empty[..., None], torch.nan).cpu().numpy())
            summaries.append(summary.cpu().numpy())
        variables = {
            "state": (("window", "segment", "latent"), np.concatenate(states)),
            "cls": (("window", "latent"), np.concatenate(summaries)),
        }
        return self._labelled(variables, self._window_coords(runs, windows), "transform")

    def predict(self, data: xr.DataTree | xr.Dataset) -> xr.Dataset:
        """Return every region as it is predicted from the others.

        The regions are drawn into parts of about ``validation_ratio`` each, the same ones at
        every call; each part is hidden throughout the window once.

        Returns
        -------
        xr.Dataset
            ``reconstruction`` float32 ``(run, time, roi)``, z-scores as the network sees them;
            NaN where nothing was observed and where no window reaches. ``time`` [s] from the first
            frame.

        Raises
        ------
        NotFittedError, DataError, EmptySelectionError
            As :meth:`transform`.
        """
        self._require_fitted()
        runs = bold_runs(data)
        windows = run_windows(runs, self.context_, self.config)
        longest = max(map(len, windows.values))
        found = np.full((len(runs), longest, self.context_.n_rois), np.nan, dtype=np.float32)
        for batch in self._batches(windows):
            frames = self._from_others(batch)
            for window, values in zip(batch["index"].tolist(), frames):
                run, start = windows.run[window], windows.start[window]
                n_left = len(windows.values[run]) - start
                found[run, start : start + len(values)] = values[:n_left]
        time = self.config.repetition_time * np.arange(longest)
        coords = {"run": list(runs), "time": ("time", time, {"units": "s"})}
        coords |= self.context_.coords()
        variables = {"reconstruction": (("run", "time", "roi"), found)}
        return self._labelled(variables, coords, "predict")

    def score(
        self,
        data: xr.DataTree | xr.Dataset,
        metric: str = "masked_r2",
        *,
        ratio: float | None = None,
        masking: str | None = None,
    ) -> xr.Dataset:
        """Return the share of variance that reconstructions explain, under fixed masks.

        Parameters
        ----------
        data
            Runs.
        metric
            ``"masked_r2"``: of what is hidden; ``"visible_r2"``: of the rest.
        ratio, masking
            Share that is hidden and the scheme; as in the settings if not given.

        Returns
        -------
        xr.Dataset
            The metric.

        Raises
        ------
        NotFittedError, DataError, EmptySelectionError, ConfigError
            As :meth:`transform`; for an unknown metric, ratio or scheme.
        """
        self._require_fitted()
        one_of("metric", metric, METRICS)
        windows = run_windows(bold_runs(data), self.context_, self.config)
        config, scores = self.reconstruction_scores(windows, ratio=ratio, masking=masking)
        found = self._labelled({metric: scores[metric]}, {}, "score")
        return found.assign_attrs(ratio=config.validation_ratio, masking=config.masking)

    def reconstruction_scores(
        self, windows: RunWindows, *, ratio: float | None = None, masking: str | None = None
    ) -> tuple[BrainMAEConfig, dict[str, float]]:
        """Return the settings and all scores of windows that are at hand; see :meth:`score`."""
        changed = {"validation_ratio": ratio, "masking": masking}
        changed = {name: value for name, value in changed.items() if value is not None}
        config = type(self)(self.config, **changed).config
        objective = ReconstructionObjective(config, self._networks())
        self.network_.eval()
        return config, objective.validate(self.network_, windows)

    def to_regions(self, regions: xr.Dataset) -> Self:
        """Return this model for the regions of another atlas.

        Everything but the embeddings is kept. A region gets the mean of the known embeddings,
        weighted by ``exp(-d**2 / (2 * 10**2))`` of the distance ``d`` [mm] of centroids; fine-tune
        where that is not enough.

        Parameters
        ----------
        regions
            Dim ``roi`` with coordinates ``x``, ``y``, ``z`` [mm, MNI]: a run, for example.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ConfigError
            If the model is tied to its atlas: its pooling is ``"flatten"``, or its embeddings
            are codes of position.
        DataError
            If centroids are not known on both sides.
        """
        self._require_fitted()
        if self.config.pooling != "query" or self.config.variant == "position":
            raise ConfigError(
                "this model is tied to its atlas",
                found=f"pooling={self.config.pooling!r}, variant={self.config.variant!r}",
                expected="pooling 'query' and learned embeddings",
            )
        context = RoiContext.of_regions(regions)
        if not (context.position and self.context_.position):
            raise DataError(
                "regions of two atlases are matched by their centroids",
                found="no x, y, z " + ("in the model" if context.position else "in the regions"),
                expected="MNI centroids [mm] as coordinates of roi",
            )
        weight = torch.from_numpy(_weights(context.position, self.context_.position))
        state = dict(self.network_.state_dict())
        state["roi_embedding"] = weight.to(state["roi_embedding"]) @ state["roi_embedding"]
        other = type(self)(self.config)
        other.context_, other.training_ = context, self.training_
        other.data_, other.history_ = self.data_, self.history_
        network = other._new_network().to(self.device).eval()
        network.load_state_dict(state)
        other.network_ = cast(BrainMAENetwork, network)
        other.arrays_digest_ = arrays_digest(other._arrays())
        return other

    def _build(self) -> nn.Module:
        return BrainMAENetwork(self.config, self.context_.n_rois, self.config.n_frames)

    def _networks(self) -> torch.Tensor | None:
        code = self.context_.network_code
        return torch.from_numpy(code) if (code >= 0).any() else None

    def _objective(self) -> ReconstructionObjective:
        return ReconstructionObjective(self.config, self._networks())

    def _batches(self, windows: RunWindows) -> Iterator[dict[str, torch.Tensor]]:
        """Give windows in batches, with the network in evaluation mode and without gradients."""
        self.network_.eval()
        with torch.no_grad():
            yield from batches(windows, self.network_, ENCODED_AT_ONCE)

    def _from_others(self, batch: dict[str, torch.Tensor]) -> NDArray[np.float32]:
        """Return each region predicted with it hidden, shape ``(batch, frame, roi)``."""
        n_rois = self.context_.n_rois
        n_parts = max(2, round(1 / self.config.validation_ratio))
        order = np.random.default_rng(self.training_.seed).permutation(n_rois)
        found = torch.empty_like(batch["bold"])
        for part in np.array_split(order, n_parts):
            mask = torch.zeros(batch["bold"].shape[:3], dtype=torch.bool, device=self.device)
            mask[:, :, torch.from_numpy(part)] = True
            output = self.network_(batch["bold"], batch["observed"], batch["time"], mask)
            found[:, :, part] = output.reconstruction[:, :, part].to(found)
        found = found.masked_fill(~batch["observed"], torch.nan)
        # (batch, segment, roi, frame) to frames in a row
        frames: NDArray[np.float32] = found.transpose(2, 3).flatten(1, 2).cpu().numpy()
        return frames

    def _window_coords(self, runs: Mapping[str, xr.Dataset], windows: RunWindows) -> dict[str, Any]:
        labels = np.array(list(runs), dtype=object)
        start = windows.start * self.config.repetition_time
        segment = np.arange(self.config.n_segments) * self.config.segment_duration
        coords: dict[str, Any] = {
            "run": ("window", labels[windows.run]),
            "start": ("window", start, {"units": "s"}),
            "segment_start": ("segment", segment, {"units": "s"}),
        }
        subjects = [run.attrs.get("subject") for run in runs.values()]
        if all(subject is not None for subject in subjects):
            coords["subject"] = ("window", np.array(subjects, dtype=object)[windows.run])
        return coords

    def _labelled(
        self, variables: dict[str, Any], coords: Mapping[str, Any], step: str
    ) -> xr.Dataset:
        found = results(
            variables,
            coords,
            estimator=self.name,
            config_uid=self.config_uid,
            checkpoint=self.arrays_digest_,
        )
        return add_history(found, step, estimator=self.name)

    def _restore(self, run: Run, settings: RunConfig) -> None:
        self.context_ = RoiContext.from_json(run.metadata["context"])
        self.data_ = json.loads(run.metadata["data"])
        self.arrays_digest_ = arrays_digest(run.arrays)
        self._restore_network(run, settings)

    def _metadata(self) -> dict[str, str]:
        return {"context": self.context_.to_json(), "data": json.dumps(self.data_)}

    def _provenance(self) -> dict[str, Any]:
        return {
            "inputs": {"bold": self.data_},
            "device": str(self.device),
            "seed": self.training_.seed,
        }


def _weights(
    wanted: tuple[tuple[float, ...], ...], known: tuple[tuple[float, ...], ...]
) -> NDArray[np.float32]:
    """Return weights of known regions in each wanted one, rows add up to 1."""
    to, of = np.array(wanted), np.array(known)
    squared = ((to[:, None] - of[None]) ** 2).sum(axis=2)
    # the nearest always counts, however far it is
    log_weight = -(squared - squared.min(axis=1, keepdims=True)) / (2 * SPREAD**2)
    weight = np.exp(log_weight)
    share: NDArray[np.float32] = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
    return share
