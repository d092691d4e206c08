"""A Neuroformer from a recording to a report: fitted or fine-tuned, beside its baselines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from neurodyn.errors import ConfigError, DataError
from neurodyn.models import run_folder
from neurodyn.models.neuroformer.estimator import Neuroformer
from neurodyn.training import TrainingConfig
from neurodyn.training.devices import end_helpers
from neurodyn.workflow.finish import finish, write_beside
from neurodyn.workflow.neuroformer_plan import (
    NeuroformerPlan,
    neuroformer_plan,
    training_of,
    with_targets,
)
from neurodyn.workflow.plans import TRAINING, setting
from neurodyn.workflow.spike_decoding import Decoded, decode_held_out
from neurodyn.workflow.spike_generation import TOO_SHORT, Generated, generate, generation_rows
from neurodyn.workflow.spike_likelihood import likelihood_rows
from neurodyn.workflow.spike_recordings import Parts, held_out_part, reason

__all__ = ["Finetuning", "finetune_neuroformer", "fit_neuroformer"]

CHOSE = "The held-out part also chose the weights of training that are kept."
NULL = "Bits per spike are above the mean rates of the training part."
HALVES = "Each half of the recording is longer than what was generated, so that it varies less."


def fit_neuroformer(
    data: xr.DataTree,
    folder: str | Path,
    plan: NeuroformerPlan | None = None,
    *,
    resume: bool = False,
    baselines: bool = True,
    notes: Iterable[str] = (),
    title: str | None = None,
    command: str | None = None,
) -> Path:
    """Fit a Neuroformer, score it on a held-out part, let it run by itself, write a report.

    Beside it stand, on the same bins and instants, a GLM of spike history and couplings, ridge
    regression, and two halves of the recording.

    Parameters
    ----------
    data
        A recording of spikes, with what the plan reads and decodes; divided by
        :func:`neurodyn.workflow.held_out_part`.
    folder
        Run folder; a finished run that lies there is replaced. ``results.nc`` holds the rates in
        the held-out part, ``recorded.nc`` and ``generated.nc`` spikes, ``decoded.nc`` behavior.
    plan
        See :func:`neurodyn.workflow.neuroformer_plan`.
    resume
        Go on where an interrupted run in the folder was; ends with the same result.
    baselines
        Whether to fit GLM and ridge.
    notes, title, command
        For the report.

    Returns
    -------
    Path
        ``report.html``.

    Raises
    ------
    DataError, EmptySelectionError
        If there are too few data, or not what the plan reads.
    CheckpointError, TrainingDivergedError
        As fitting does.
    """
    plan = neuroformer_plan() if plan is None else plan
    parts = held_out_part(data, plan.model.config, seed=plan.training.seed)
    if not resume:
        run_folder.replace_finished(folder)
    model = plan.model.clone().fit(
        parts.train,
        validation=parts.held_out,
        training=plan.training,
        folder=folder,
        resume="auto" if resume else False,
    )
    end_helpers()
    metrics, found = _judged(model, data, parts, baselines)
    metrics["notes"] = [*metrics["notes"], *notes]
    return _finished(model, Path(folder), parts, metrics, found, title=title, command=command)


@dataclass(frozen=True, kw_only=True)
class Finetuning:
    """What to train further, and how.

    Parameters
    ----------
    decode
        Behaviors to decode from now on; those so far if none is named.
    share, frozen
        As of :meth:`~neurodyn.models.neuroformer.estimator.Neuroformer.finetune`.
    settings
        ``training.key=value``; the network stays what it is.
    seed
        Of training, and of the windows that are drawn.
    """

    decode: tuple[str, ...] = ()
    share: float = 1.0
    frozen: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    seed: int = 0

    def training(self, start: TrainingConfig) -> TrainingConfig:
        """Return how to train, from how the model was trained.

        Raises
        ------
        ConfigError
            For a setting of the network.
        """
        pairs = dict(setting(text) for text in self.settings)
        own = [key for key in pairs if not key.startswith(TRAINING)]
        if own:
            raise ConfigError(
                "fine-tuning keeps the settings of the network",
                found=", ".join(own),
                expected="training.key=value",
            )
        loop = {key.removeprefix(TRAINING): value for key, value in pairs.items()}
        return training_of(start, loop, self.seed)


def finetune_neuroformer(
    run: str | Path,
    data: xr.DataTree,
    folder: str | Path,
    how: Finetuning | None = None,
    *,
    resume: bool = False,
    baselines: bool = True,
    notes: Iterable[str] = (),
    title: str | None = None,
    command: str | None = None,
) -> Path:
    """Train the model of a run further, on another session or to decode, and write a report.

    Parameters
    ----------
    run
        Run folder of a Neuroformer, which stays as it is.
    data
        A recording of spikes; units are known by their labels.
    folder
        Run folder of the new model.
    how
        Everything, on all windows, as the run was trained if not given.
    resume, baselines, notes, title, command
        As of :func:`fit_neuroformer`, as what is returned and raised.
    """
    how = Finetuning() if how is None else how
    known = Neuroformer.load(run)
    training = how.training(known.training_)
    config = with_targets(known.config, how.decode) if how.decode else known.config
    parts = held_out_part(data, config, seed=how.seed)
    if not resume:
        run_folder.replace_finished(folder)
    model = known.finetune(
        parts.train,
        targets=config.targets,
        share=how.share,
        frozen=how.frozen,
        validation=parts.held_out,
        training=training,
        folder=folder,
        resume="auto" if resume else False,
    )
    end_helpers()
    metrics, found = _judged(model, data, parts, baselines)
    name, share = Path(run).resolve().name, f"{100 * how.share:g} % of the windows"
    learned = f"Fine-tuned from the run {name}, on {share}"
    stayed = f"; {', '.join(how.frozen)} stayed as before." if how.frozen else "."
    metrics["notes"] = [learned + stayed, *metrics["notes"], *notes]
    return _finished(model, Path(folder), parts, metrics, found, title=title, command=command)


def _judged(
    model: Neuroformer, data: xr.DataTree, parts: Parts, baselines: bool
) -> tuple[dict[str, Any], dict[str, xr.Dataset | xr.DataTree | None]]:
    """Return metrics and further results; what cannot be had is said, as training is done."""
    train, held_out, said = parts
    notes = [said, CHOSE, NULL]
    likelihood = likelihood_rows(model, train, held_out, baselines=baselines)
    generation: list[dict[str, Any]] = []
    spikes: Generated | None = None
    try:
        found = generate(model, held_out, seed=model.training_.seed)
        generation = generation_rows(found, data)
    except DataError as error:
        notes.append(TOO_SHORT.format(reason(error)))
    else:
        spikes = found
        notes += [*spikes.notes, HALVES]
    decoded = Decoded(None, [], [])
    if model.config.targets:
        decoded = decode_held_out(model, train, held_out, baselines=baselines)
    metrics = {
        "headline": model.name,
        "likelihood": likelihood,
        "generation": generation,
        "decoding": decoded.rows,
        "notes": [*notes, *decoded.notes],
    }
    return metrics, {
        "recorded": None if spikes is None else spikes.recorded,
        "generated": None if spikes is None else spikes.generated,
        "decoded": decoded.traces,
        # of an earlier run in this folder
        "connectivity": None,
    }


def _finished(
    model: Neuroformer,
    folder: Path,
    parts: Parts,
    metrics: Mapping[str, Any],
    found: Mapping[str, xr.Dataset | xr.DataTree | None],
    **more: Any,
) -> Path:
    write_beside(folder, found)
    return finish(folder, model.predict(parts.held_out), metrics, **more)
