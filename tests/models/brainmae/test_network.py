"""What BrainMAE must and must not depend on, in every variant and pooling."""

from __future__ import annotations

import copy

import pytest
import torch

from neurodyn.errors import ConfigError
from neurodyn.models import in_parts

from .simulated import N_FRAMES, N_ROIS, N_SEGMENTS, VARIANTS, build, hidden, windows

KINDS = [
    *({"variant": variant, "pooling": p} for variant in VARIANTS for p in ("flatten", "query")),
    {"variant": "sg", "self_loops": True},
    {"variant": "fdg", "adaptive_bias": "embedding"},
    {"variant": "ag", "adaptive_bias": "embedding", "roi_skip": True},
    {"variant": "ag", "adaptive_bias": "pair"},
    {"variant": "sg", "pooling": "query", "roi_skip": True},
]


def label(kind):
    return "-".join(map(str, kind.values()))


every_kind = pytest.mark.parametrize("kind", KINDS, ids=label)
with_and_without_missing = pytest.mark.parametrize("missing", [False, True])


def close(first, second, tolerance=1e-5):
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@every_kind
def test_shapes_and_round_trip(kind):
    network, batch = build(**kind), windows()
    output = network(**batch)
    assert output.reconstruction.shape == (4, N_SEGMENTS, N_ROIS, N_FRAMES)
    assert output.states.shape == (4, N_SEGMENTS, 12)
    assert output.cls.shape == (4, 12)
    assert network.transient_states(batch["bold"], batch["observed"]).shape == output.states.shape
    close(network.encode(**batch), (output.states, output.cls), 0)
    torch.manual_seed(99)
    other = type(network)(network.config, N_ROIS, N_FRAMES)
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter)
    other.load_state_dict(network.state_dict())
    close(other(**batch), output, 0)


@every_kind
@with_and_without_missing
def test_a_few_segments_at_a_time_give_the_same(kind, missing, monkeypatch):
    network, batch = build(**kind).double(), windows(missing=missing)
    batch["bold"] = batch["bold"].double()
    mask, wanted = hidden(batch), list(network.parameters())
    results = []
    for part in (in_parts.PART, 1):
        monkeypatch.setattr(in_parts, "PART", part)
        output = network(**batch, mask=mask)
        error = (output.reconstruction - batch["bold"])[batch["observed"]]
        results.append((*output, *torch.autograd.grad(error.square().sum(), wanted)))
    close(*results, 1e-9)


@every_kind
@with_and_without_missing
def test_every_parameter_has_a_gradient(kind, missing):
    network, batch = build(**kind), windows(missing=missing)
    output = network(**batch, mask=hidden(batch))
    (output.reconstruction - batch["bold"])[batch["observed"]].square().sum().backward()
    silent = [
        name
        for name, p in network.named_parameters()
        if p.grad is None or not p.grad.isfinite().all() or p.grad.abs().max() < 1e-9
    ]
    assert silent == []


@every_kind
@with_and_without_missing
def test_hidden_values_never_reach_the_output(kind, missing):
    network, batch = build(**kind), windows(missing=missing)
    mask = hidden(batch)
    output = network(**batch, mask=mask)
    changed = torch.where(mask[..., None], batch["bold"] * 100 + 3, batch["bold"])
    close(network(**(batch | {"bold": changed}), mask=mask), output, 0)
    moved = network(**batch)
    assert not torch.allclose(moved.reconstruction, output.reconstruction)


@every_kind
@pytest.mark.parametrize("value", [7.0, torch.nan, torch.inf])
def test_values_that_were_not_observed_never_reach_the_output(kind, value):
    network, batch = build(**kind), windows(missing=True)
    output = network(**batch)
    filled = torch.where(batch["observed"], batch["bold"], value)
    close(network(**(batch | {"bold": filled})), output, 0)
    assert all(part.isfinite().all() for part in output)


@every_kind
def test_a_missing_roi_is_left_out_of_the_states(kind):
    """Its embedding has no influence on the states; the others' have."""
    network, batch = build(**kind), windows()
    batch["observed"] = batch["observed"].clone()
    batch["observed"][:, :, 4] = False
    states = network.encode(**batch)
    with torch.no_grad():
        network.roi_embedding[4] += torch.linspace(-1, 2, 8)
    close(network.encode(**batch), states)
    with torch.no_grad():
        network.roi_embedding[3] += torch.linspace(-1, 2, 8)
    assert not torch.allclose(network.encode(**batch)[0], states[0])


@every_kind
def test_an_empty_segment_is_left_out_of_the_context(kind):
    network, batch = build(**kind), windows()
    batch["observed"] = batch["observed"].clone()
    batch["observed"][:, -1] = False
    states, summary = network.encode(**batch)
    shorter = {name: value[:, :-1] for name, value in batch.items()}
    close(network.encode(**shorter), (states[:, :-1], summary))


@every_kind
@with_and_without_missing
def test_batch_mates_do_not_matter(kind, missing):
    network, batch = build(**kind), windows(missing=missing)
    together = network(**batch)
    for i in range(len(batch["bold"])):
        alone = network(**{name: value[i : i + 1] for name, value in batch.items()})
        close(alone, [part[i : i + 1] for part in together])


@every_kind
@with_and_without_missing
def test_the_order_of_rois_does_not_matter(kind, missing):
    network, batch = build(**kind), windows(missing=missing)
    mask = hidden(batch)
    output = network(**batch, mask=mask)
    order = torch.randperm(N_ROIS, generator=torch.Generator().manual_seed(5))
    permuted = copy.deepcopy(network)
    with torch.no_grad():
        permuted.roi_embedding.copy_(network.roi_embedding[order])
        if kind.get("pooling", "flatten") == "flatten":
            columns = network.pooling.project.weight.view(12, N_ROIS, -1)[:, order]
            permuted.pooling.project.weight.copy_(columns.flatten(1))
    moved = {name: batch[name][:, :, order] for name in ("bold", "observed")}
    result = permuted(**(batch | moved), mask=mask[:, :, order])
    close((result.states, result.cls), (output.states, output.cls))
    close([result.reconstruction], [output.reconstruction[:, :, order]])


def test_time_in_seconds_is_what_places_segments():
    network, batch = build(), windows()
    later = network(**(batch | {"time": batch["time"] * 2})).states
    assert not torch.allclose(later, network(**batch).states)
    order = torch.tensor([2, 0, 1])
    shuffled = {name: value[:, order] for name, value in batch.items()}
    close([network(**shuffled).states], [network(**batch).states[:, order]])


def test_query_pooling_takes_weights_to_another_atlas():
    small, large = build(pooling="query"), build(n_rois=14, pooling="query")
    shapes = {name: p.shape for name, p in small.named_parameters() if name != "roi_embedding"}
    assert shapes == {n: p.shape for n, p in large.named_parameters() if n != "roi_embedding"}
    state = {k: v for k, v in small.state_dict().items() if k != "roi_embedding"}
    missing, unexpected = large.load_state_dict(state, strict=False)
    assert (missing, unexpected) == (["roi_embedding"], [])
    assert large(**windows(n_rois=14)).reconstruction.isfinite().all()


@pytest.mark.parametrize(("variant", "n_blocks"), [("sg", 3), ("position", 3), ("ag", 1)])
def test_static_attention_by_block_and_head(variant, n_blocks):
    attention = build(variant=variant).static_attention()
    assert attention.shape == (n_blocks, 2, N_ROIS, N_ROIS)
    torch.testing.assert_close(attention.sum(-1), torch.ones(n_blocks, 2, N_ROIS))
    assert (attention.diagonal(dim1=-2, dim2=-1) == 0).all()


@pytest.mark.parametrize("variant", ["fdg", "vanilla"])
def test_variants_without_static_attention_say_so(variant):
    with pytest.raises(ConfigError, match="no static attention"):
        build(variant=variant).static_attention()


@with_and_without_missing
def test_attention_of_the_summary_to_segments(missing):
    network, batch = build(), windows(missing=missing)
    attention = network.cls_attention(**batch)
    assert attention.shape == (4, 2, 2, N_SEGMENTS)
    assert (attention.sum(-1) < 1).all()
    seen = batch["observed"].any(-1).any(-1)
    assert (attention.sum((1, 2))[~seen] == 0).all()
    assert (attention.sum((1, 2))[seen] > 0).all()


def test_the_position_code_is_fixed_and_tells_rois_apart():
    network = build(variant="position", n_rois=100)
    assert "roi_embedding" not in dict(network.named_parameters())
    assert "roi_embedding" in network.state_dict()
    distance = torch.cdist(network.roi_embedding, network.roi_embedding)
    assert distance[~torch.eye(100, dtype=torch.bool)].min() > 0.01


def test_data_of_another_shape_are_refused():
    network = build()
    with pytest.raises(ConfigError, match="the data do not fit the network"):
        network(**windows(n_rois=N_ROIS + 1))
    with pytest.raises(ConfigError, match=r"\(9, 4\) ROIs and frames"):
        network(**windows(n_frames=4))
    with pytest.raises(ConfigError, match="needs several ROIs"):
        build(n_rois=1)


@every_kind
def test_half_precision_gives_nearly_the_same(kind):
    network, batch = build(**kind), windows(missing=True)
    expected = network(**batch)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(**batch)
    close([part.float() for part in output], expected, 0.15)


def test_dropout_acts_in_training_only():
    network, batch = build(dropout=0.3), windows()
    assert not torch.equal(network(**batch).states, network(**batch).states)
    network.eval()
    assert torch.equal(network(**batch).states, network(**batch).states)
