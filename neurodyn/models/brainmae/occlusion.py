"""What a BrainMAE needs: regions are replaced by the mask token, and what changes is measured."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from neurodyn.errors import ConfigError, DataError, one_of
from neurodyn.models.brainmae.context import RoiContext, bold_runs, run_windows
from neurodyn.models.brainmae.estimator import BrainMAE
from neurodyn.models.brainmae.examples import Examples
from neurodyn.models.brainmae.finetune import BrainMAEDecoder
from neurodyn.models.brainmae.network import BrainMAENetwork
from neurodyn.models.brainmae.probe import Probe
from neurodyn.recording import results
from neurodyn.windows import RunWindows
from neurodyn.windows.roi_masks import draw_mask

__all__ = ["decoding_occlusion", "hidden_regions", "occlusion"]

By = Literal["roi", "network"]


@contextlib.contextmanager
def hidden_regions(network: BrainMAENetwork, member: NDArray[np.bool_]) -> Iterator[None]:
    """Hide regions from a network inside the block, whatever is asked of it.

    They are replaced by the mask token of pre-training, as masked regions are.

    Parameters
    ----------
    network
        Of a pre-trained model, or the encoder of a fine-tuned one.
    member
        Which regions, shape ``(roi,)``.
    """

    def hide(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        bold, embedding, hidden, present = given
        return bold, embedding, hidden | chosen, present

    chosen = torch.from_numpy(member).to(next(network.parameters()).device)
    handle = network.encoder.register_forward_pre_hook(hide)
    try:
        yield
    finally:
        handle.remove()


def occlusion(
    model: BrainMAE,
    data: xr.DataTree | xr.Dataset,
    *,
    by: By = "roi",
    n_windows: int | None = 16,
    seed: int = 0,
) -> xr.Dataset:
    """Hide each region, or each network, and measure what the model loses.

    Parameters
    ----------
    model
        Fitted.
    data
        Runs, best of people that it was not fitted on.
    by
        What is hidden at once: ``"roi"`` or ``"network"``.
    n_windows
        Windows that are used, spread evenly over those of the data; all if None. Each takes three
        passes through the network for each of what is hidden.
    seed
        Of the masks under which others are reconstructed.

    Returns
    -------
    xr.Dataset
        Dims named by ``by``: ``cls_change (roi)``, how far the summary of a window moves, as a
        share of its norm, mean over windows; ``r2_loss (roi, roi_to)``: masked R2 of ``roi_to``
        with ``roi`` seen, minus that with it hidden, under the same masks of ``validation_ratio``;
        NaN where both are one region, or of one network. ``mean_r2_loss (roi)``: the same over
        all others.

    Raises
    ------
    NotFittedError, EmptySelectionError
        Before ``fit``; for runs without enough frames.
    DataError
        For other regions; if networks are asked for and not known.
    ConfigError
        For another ``by``.
    """
    model._require_fitted()
    names, members = _parts(model.context_, by)
    windows = run_windows(bold_runs(data), model.context_, model.config)
    if n_windows is not None and n_windows < len(windows):
        windows = windows.take(np.linspace(0, len(windows) - 1, n_windows).round())
    moved, lost, total = _effects(model, windows, members, seed)
    variables = {
        "cls_change": (by, moved),
        "r2_loss": ((by, "roi_to"), _share(lost, total)),
        "mean_r2_loss": (by, _share(lost.sum(axis=1), total.sum(axis=1))),
    }
    coords = model.context_.coords()
    coords = {**(coords if by == "roi" else {by: names}), "roi_to": coords["roi"]}
    found = model._labelled(variables, coords, "occlusion")
    return found.assign_attrs(n_windows=len(windows), ratio=model.config.validation_ratio)


def decoding_occlusion(
    decoder: BrainMAEDecoder | Probe, data: xr.DataTree | Examples, *, by: By = "network"
) -> xr.Dataset:
    """Hide each network, or each region, and measure what decoding loses.

    Parameters
    ----------
    decoder
        Fine-tuned from a pre-trained model, or a read-out of a frozen one.
    data
        What its ``predict`` takes: runs with labels for a fine-tuned model, examples for a
        read-out.
    by
        What is hidden at once: ``"network"`` or ``"roi"``.

    Returns
    -------
    xr.Dataset
        Dims named by ``by``. Of classes ``confidence_loss (network, example)``: the probability
        of the true label minus that with the network hidden. Of numbers ``prediction_change
        (network, example)`` in the unit of the label: with the network hidden minus without.
        ``label`` and ``subject`` of ``example`` as coordinates.

    Raises
    ------
    ConfigError
        If the decoder was not pre-trained: its mask token was never learned; for another ``by``.
    NotFittedError, DataError, EmptySelectionError
        As ``predict``; if networks are asked for and not known.
    """
    if isinstance(decoder, Probe):
        network, regions = decoder.model.network_, decoder.model.context_
    else:
        decoder._require_fitted()
        if not decoder.config.pretrained:
            raise ConfigError(
                "the mask token of this decoder was never learned",
                found="a decoder that was trained from scratch",
                expected="one that starts from a pre-trained model",
                hint="BrainMAEDecoder(pretrained=FOLDER, ...)",
            )
        network, regions = decoder.network_.encoder, decoder.context_.regions
    names, members = _parts(regions, by)
    predict: Any = decoder.predict
    whole = predict(data)
    changed = []
    for member in members:
        with hidden_regions(network, member):
            changed.append(_told(predict(data)))
    effect = np.stack(changed) - _told(whole)
    name = "prediction_change"
    if "probability" in whole:
        name, effect = "confidence_loss", -effect
    coords = regions.coords() if by == "roi" else {by: names}
    coords |= {label: whole[label] for label in ("example", "label", "subject")}
    return results({name: ((by, "example"), effect)}, coords)


def _effects(
    model: BrainMAE, windows: RunWindows, members: list[NDArray[np.bool_]], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return how far summaries move, and growth of squared errors and squares ``(…, roi)``."""
    network = model.network_
    change = np.zeros(len(members))
    lost, total = np.zeros((2, len(members), model.context_.n_rois))
    generator = torch.Generator().manual_seed(seed)
    for batch in model._batches(windows):
        mask = _mask(model, batch["observed"], generator)
        cls = _cls(network, batch)
        for row, member in enumerate(members):
            with hidden_regions(network, member):
                moved = (_cls(network, batch) - cls).norm(dim=1) / cls.norm(dim=1)
                hidden, square = _errors(network, batch, mask, member)
            seen, _ = _errors(network, batch, mask, member)
            change[row] += float(moved.sum()) / len(windows)
            lost[row] += hidden - seen
            total[row] += square
    return change, lost, total


def _told(predicted: xr.Dataset) -> NDArray[np.float64]:
    """Return the probability of the true label of each example, or the predicted number."""
    if "probability" not in predicted:
        return predicted["prediction"].values.astype(np.float64)
    classes = predicted["class"].values.astype(str)
    column = (predicted["label"].values.astype(str)[:, None] == classes).argmax(axis=1)
    probability: NDArray[np.float64] = predicted["probability"].values
    return np.asarray(probability[np.arange(len(column)), column])


def _parts(regions: RoiContext, by: str) -> tuple[list[str], list[NDArray[np.bool_]]]:
    """Return the names of what is hidden at once, and its regions."""
    one_of("by", by, ("roi", "network"))
    if by == "roi":
        return list(regions.roi), list(np.eye(regions.n_rois, dtype=bool))
    names = sorted(set(regions.network) - {""})
    if not names:
        raise DataError(
            "the networks of regions are not known",
            found="regions without network",
            expected="a coordinate network of roi in the data that the model was fitted on",
            hint="by='roi'",
        )
    return names, [np.array(regions.network) == name for name in names]


def _mask(model: BrainMAE, observed: Tensor, generator: torch.Generator) -> Tensor:
    config, networks = model.config, model._networks()
    present = observed.any(-1).cpu()
    mask = draw_mask(config.masking, present, config.validation_ratio, networks, generator)
    return mask.to(observed.device)


def _cls(network: BrainMAENetwork, batch: dict[str, Tensor]) -> Tensor:
    return network.encode(batch["bold"], batch["observed"], batch["time"])[1]


def _errors(
    network: BrainMAENetwork, batch: dict[str, Tensor], mask: Tensor, member: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return sums over masked entries of all but some regions: squared errors, squares (2, roi)."""
    others = torch.from_numpy(~member).to(mask.device)
    output = network(batch["bold"], batch["observed"], batch["time"], mask & others)
    scored = (mask & others)[..., None] & batch["observed"]
    error = torch.where(scored, output.reconstruction.float() - batch["bold"], 0.0)
    square = torch.where(scored, batch["bold"], 0.0)
    sums = [part.double().square().sum(dim=(0, 1, 3)) for part in (error, square)]
    found: NDArray[np.float64] = torch.stack(sums).cpu().numpy()
    return found


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0))
