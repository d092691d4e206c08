"""Small networks and windows with structure, shared by the tests of BrainMAE."""

from __future__ import annotations

import torch

from neurodyn.models.brainmae.config import BrainMAEConfig
from neurodyn.models.brainmae.network import BrainMAENetwork

N_ROIS, N_FRAMES, N_SEGMENTS = 9, 5, 3
VARIANTS = ("sg", "ag", "fdg", "vanilla", "position")


def settings(**changes):
    return BrainMAEConfig(
        **{
            "segment_duration": 10.0,
            "repetition_time": 2.0,
            "n_segments": N_SEGMENTS,
            "node_size": 8,
            "node_heads": 2,
            "readout_size": 3,
            "n_queries": 4,
            "state_size": 12,
            "state_heads": 2,
            "n_encoder_layers": 2,
            "n_decoder_layers": 1,
            "dropout": 0.0,
            **changes,
        }
    )


def build(n_rois=N_ROIS, **changes):
    torch.manual_seed(0)
    config = settings(**changes)
    return BrainMAENetwork(config, n_rois, config.n_frames)


def windows(
    n_batch=4, n_segments=N_SEGMENTS, n_rois=N_ROIS, n_frames=N_FRAMES, missing=False, seed=1
):
    """Return a batch; with ``missing``, a ROI lacks, and elsewhere frames."""
    generator = torch.Generator().manual_seed(seed)
    bold = torch.randn(n_batch, n_segments, n_rois, n_frames, generator=generator)
    observed = torch.ones_like(bold, dtype=torch.bool)
    if missing:
        observed[0, :, 2] = False
        observed[1, 1] = False
        observed[:, :, :, 1] &= torch.rand(n_batch, n_segments, 1, generator=generator) < 0.5
        observed[2, 0, :-1] = False
    time = 10.0 * torch.arange(n_segments).expand(n_batch, n_segments)
    return {"bold": bold * observed, "observed": observed, "time": time}


def hidden(batch, share=0.4, seed=2):
    """Return a mask of observed ROIs."""
    present = batch["observed"].any(-1)
    return (
        torch.rand(present.shape, generator=torch.Generator().manual_seed(seed)) < share
    ) & present


class Windows:
    """A source of the windows of one batch."""

    def __init__(self, batch):
        self.batch = batch

    def __len__(self):
        return len(self.batch["bold"])

    def gather(self, index):
        return {name: value[torch.as_tensor(index)] for name, value in self.batch.items()}
