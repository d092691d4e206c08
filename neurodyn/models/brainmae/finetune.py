"""Fine-tuning: the whole encoder learns to decode labels of runs or events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from torch import nn

from neurodyn.config import from_dict, to_dict
from neurodyn.errors import DataError, one_of
from neurodyn.models.base import RunConfig, arrays_digest
from neurodyn.models.brainmae.config import BrainMAEConfig
from neurodyn.models.brainmae.context import (
    RoiContext,
    bold_runs,
    refuse_shared_subjects,
    runs_digest,
)
from neurodyn.models.brainmae.estimator import BrainMAE
from neurodyn.models.brainmae.examples import Examples, event_examples, run_examples
from neurodyn.models.brainmae.features import example_means, window_features
from neurodyn.models.brainmae.finetune_config import FinetuneConfig
from neurodyn.models.brainmae.finetune_network import (
    DecodingObjective,
    FinetuneNetwork,
    LabelledWindows,
)
from neurodyn.models.brainmae.network import BrainMAENetwork
from neurodyn.models.brainmae.probe import decoded, decoding_table, require_variety
from neurodyn.models.run_folder import Run
from neurodyn.models.trained_network import TrainedNetwork
from neurodyn.nlb.guard import refuse_evaluation
from neurodyn.provenance import add_history
from neurodyn.recording import results
from neurodyn.training import TrainingConfig
from neurodyn.training.run_folder import Resume

__all__ = ["BrainMAEDecoder", "DecoderContext"]


@dataclass(frozen=True)
class DecoderContext:
    """Regions, settings of the encoder, and the labels that are decoded.

    Parameters
    ----------
    regions, network
        Of the encoder.
    classes
        In the order of probabilities; empty in regression.
    mean, spread
        Of the training labels in regression.
    """

    regions: RoiContext
    network: BrainMAEConfig
    classes: tuple[str, ...]
    mean: float = 0.0
    spread: float = 1.0

    def codes(self, label: NDArray[Any]) -> NDArray[Any]:
        """Return labels as the network learns them: class numbers, or z-scores.

        Raises
        ------
        DataError
            For a label that training had not.
        """
        if not self.classes:
            return ((label.astype(np.float64) - self.mean) / self.spread).astype(np.float32)
        place = {name: code for code, name in enumerate(self.classes)}
        unknown = sorted(set(map(str, label)) - set(place))
        if unknown:
            raise DataError(
                "labels that were not in training",
                found=", ".join(unknown[:5]),
                expected=", ".join(self.classes),
            )
        return np.array([place[str(value)] for value in label], dtype=np.int64)


class BrainMAEDecoder(TrainedNetwork[FinetuneConfig]):
    """Labels of fMRI runs, or of events in them, from a fine-tuned BrainMAE.

    Every window of an example is decoded; the example gets their mean.

    Examples
    --------
    >>> from neurodyn.recording import bold, recording
    >>> rng = np.random.default_rng(0)
    >>> runs = {
    ...     f"run{i}": bold(rng.normal(size=(40, 4)), repetition_time=1.5, sex="fm"[i % 2])
    ...     for i in range(4)
    ... }
    >>> small = {"node_size": 8, "node_heads": 2, "state_size": 16, "state_heads": 2}
    >>> network = BrainMAEConfig(n_segments=2, **small)
    >>> model = BrainMAEDecoder(network=network, target="sex")
    >>> model = model.fit(recording({"bold": runs}), training=TrainingConfig(n_steps=2))
    >>> model.predict(recording({"bold": runs}))["probability"].sizes["example"]
    4
    """

    name = "brainmae_decoder"
    data_kind = "labelled_bold"
    config_class = FinetuneConfig
    default_training = TrainingConfig(
        n_steps=600,
        batch_size=32,
        optimizer="adamw",
        learning_rate=1e-3,
        weight_decay=0.05,
        schedule="cosine",
        warmup_steps=30,
        gradient_clip=1.0,
        monitor="loss",
        validate_every=20,
    )
    context_: DecoderContext
    data_: dict[str, Any]
    network_: FinetuneNetwork

    def fit(
        self,
        data: xr.DataTree,
        *,
        validation: xr.DataTree | None = None,
        training: TrainingConfig | None = None,
        resume: Resume = None,
        folder: str | Path | None = None,
    ) -> Self:
        """Train the head and, more slowly, the encoder.

        Parameters
        ----------
        data
            Runs with labels; those without are passed over.
        validation
            Runs of other subjects, whose loss chooses the weights.
        training, resume, folder
            As in every trained estimator.

        Raises
        ------
        DataError
            If regions differ, a subject is in both parts, or validation has other labels.
        EmptySelectionError, DegenerateInputError
            If there are no labels, or all are the same.
        """
        config = self.config
        self._forget()
        refuse_evaluation(data)
        runs = bold_runs(data)
        start = BrainMAE.load(config.pretrained) if config.pretrained else None
        regions = RoiContext.of(runs) if start is None else start.context_
        network = config.network if start is None else start.config
        self.context_ = DecoderContext(regions, network, ())
        examples = self.examples(data, step=network.n_frames)
        require_variety(examples)
        self.context_ = self._with_labels(examples.label)
        source = LabelledWindows(examples, self.context_.codes(examples.label))
        self.data_ = {"digest": runs_digest(runs), "n_examples": len(examples)}
        new = cast(FinetuneNetwork, self._begin_training(training, len(source)))
        if start is not None:
            state = start.network_.state_dict()
            kept = {name: v for name, v in state.items() if not name.startswith("decoder.")}
            new.encoder.load_state_dict(kept)
        self._train(
            new,
            DecodingObjective(bool(self.context_.classes)),
            source,
            validation=None if validation is None else self._checked(runs, validation),
            folder=folder,
            resume=resume,
        )
        self.arrays_digest_ = arrays_digest(self._arrays())
        if folder is not None:
            self.save(folder)
        return self

    def examples(self, data: xr.DataTree, step: int | None = None) -> Examples:
        """Return the labelled examples of data; ``step`` in frames, by default a window.

        Raises
        ------
        EmptySelectionError, TrialTableError, DataError
            If there are no labels, or regions differ.
        """
        config, context = self.config, self.context_
        if config.examples == "events":
            return event_examples(
                data, context.regions, context.network, config.target, lag=config.lag
            )
        return run_examples(data, context.regions, context.network, config.target, step)

    def transform(self, data: xr.DataTree) -> xr.Dataset:
        """Return the features of examples under the fine-tuned encoder.

        Returns
        -------
        xr.Dataset
            ``feature`` float64 ``(example, feature)``.

        Raises
        ------
        NotFittedError, DataError, EmptySelectionError
            Before ``fit``; for other regions; without labels.
        """
        self._require_fitted()
        examples = self.examples(data)
        found = self._outputs(examples, lambda batch: window_features(self.network_.encoder, batch))
        coords = {"example": examples.name, "subject": ("example", examples.subject)}
        variables = {"features": (("example", "feature"), found)}
        return self._described(results(variables, coords), "transform")

    def predict(self, data: xr.DataTree) -> xr.Dataset:
        """Return the decoded label of each example.

        Returns
        -------
        xr.Dataset
            ``prediction (example)``; for classes ``probability (example, class)``.

        Raises
        ------
        NotFittedError, DataError, EmptySelectionError
            As :meth:`transform`.
        """
        self._require_fitted()
        examples = self.examples(data)
        context = self.context_
        if not context.classes:
            output = self._outputs(examples, self.network_)[:, 0]
            found = decoded(examples, output * context.spread + context.mean, None, None)
            return self._described(found, "predict")
        probability = self._outputs(examples, lambda batch: self.network_(batch).softmax(dim=1))
        classes = np.array(context.classes, dtype=object)
        found = decoded(examples, classes[probability.argmax(axis=1)], probability, classes)
        return self._described(found, "predict")

    def score(self, data: xr.DataTree, metric: str | None = None) -> xr.Dataset:
        """Compare decoded labels with those of the data.

        Parameters
        ----------
        data
            Runs with labels.
        metric
            A score of :func:`neurodyn.metrics.classification_table` or
            :func:`neurodyn.metrics.regression_table`; by default all of them.

        Returns
        -------
        xr.Dataset
            Each score, and its interval over subjects as ``<score>_low`` and ``<score>_high``.

        Raises
        ------
        NotFittedError, DataError, EmptySelectionError, ConfigError
            As :meth:`transform`; for an unknown metric.
        """
        found = self.predict(data)
        table = decoding_table(found)
        if metric is not None:
            one_of("metric", metric, table)
            table = {metric: table[metric]}
        scores: dict[str, Any] = {}
        for name, interval in table.items():
            scores |= {name: interval.estimate}
            scores |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
        return self._described(results(scores), "score")

    def _checked(self, runs: Mapping[str, xr.Dataset], validation: xr.DataTree) -> LabelledWindows:
        """Return validation examples of other subjects than those of the training runs."""
        refuse_evaluation(validation)
        refuse_shared_subjects(runs, bold_runs(validation))
        others = self.examples(validation)
        return LabelledWindows(others, self.context_.codes(others.label))

    def _with_labels(self, label: NDArray[Any]) -> DecoderContext:
        context = self.context_
        if self.config.task == "classification":
            return DecoderContext(
                context.regions, context.network, tuple(np.unique(label.astype(str)).tolist())
            )
        numbers = label.astype(np.float64)
        return DecoderContext(
            context.regions, context.network, (), float(numbers.mean()), float(numbers.std())
        )

    def _outputs(self, examples: Examples, function: Any) -> NDArray[np.float64]:
        return example_means(function, self.network_, examples)

    def _build(self) -> nn.Module:
        context = self.context_
        encoder = BrainMAENetwork(context.network, context.regions.n_rois, context.network.n_frames)
        return FinetuneNetwork(self.config, encoder, max(1, len(context.classes)))

    def _described(self, found: xr.Dataset, step: str) -> xr.Dataset:
        described = found.assign_attrs(
            estimator=self.name, config_uid=self.config_uid, checkpoint=self.arrays_digest_
        )
        return add_history(described, step, estimator=self.name)

    def _restore(self, run: Run, settings: RunConfig) -> None:
        self.context_ = from_dict(
            DecoderContext, json.loads(run.metadata["context"]), where="data context"
        )
        self.data_ = json.loads(run.metadata["data"])
        self.arrays_digest_ = arrays_digest(run.arrays)
        self._restore_network(run, settings)

    def _metadata(self) -> dict[str, str]:
        return {"context": json.dumps(to_dict(self.context_)), "data": json.dumps(self.data_)}

    def _provenance(self) -> dict[str, Any]:
        return {
            "inputs": {"bold": self.data_, "pretrained": self.config.pretrained},
            "device": str(self.device),
            "seed": self.training_.seed,
        }
