"""The published model written a second time: plain loops over trials, bins, sites and heads.

Follows the equations of the published description and code; shares nothing with the package.
"""

from __future__ import annotations

import math

import torch


def gru(weights, given, state):
    size = state.shape[0]
    inward = weights["cell.weight_ih"] @ given + weights["cell.bias_ih"]
    own = weights["cell.weight_hh"] @ state + weights["cell.bias_hh"]
    reset = 1 / (1 + torch.exp(-(inward[:size] + own[:size])))
    update = 1 / (1 + torch.exp(-(inward[size : 2 * size] + own[size : 2 * size])))
    new = torch.tanh(inward[2 * size :] + reset * own[2 * size :])
    return (1 - update) * new + update * state


def potential(kernel, position, epsilon=1e-12):
    """U(z): each (out, in) kernel has unit norm; convolve, Gram matrix, sum over all of it."""
    sites = position.shape[0] // 4
    z = [[position[g * sites + j] for j in range(sites)] for g in range(4)]
    norm = torch.clamp(kernel.square().sum(-1).sqrt(), min=epsilon)
    unit = [[kernel[o, i] / norm[o, i] for i in range(4)] for o in range(4)]
    total = torch.zeros((), dtype=position.dtype)
    for out in range(4):
        convolved = []
        for j in range(sites):
            value = torch.zeros((), dtype=position.dtype)
            for group in range(4):
                for tap in range(3):
                    if 0 <= j + tap - 1 < sites:
                        value = value + unit[out][group][tap] * z[group][j + tap - 1]
            convolved.append(value)
        for group in range(4):
            for j in range(sites):
                total = total + convolved[j] * z[group][j]
    return total


def gradient(kernel, position):
    if not position.requires_grad:
        position = position.detach().requires_grad_()
    energy = potential(kernel, position)
    return torch.autograd.grad(energy, position, create_graph=True)[0]


def layer_norm(x, weight, bias):
    centred = x - x.mean()
    return centred / torch.sqrt((centred**2).mean() + 1e-5) * weight + bias


def transformer(weights, tokens):
    """One post-norm layer, two heads, ReLU; ``tokens`` are vectors, one per bin."""
    size = tokens[0].shape[0]
    head = size // 2
    w_in, b_in = weights["layer.self_attn.in_proj_weight"], weights["layer.self_attn.in_proj_bias"]
    projected = [w_in @ token + b_in for token in tokens]
    after = []
    for t, token in enumerate(tokens):
        heads = []
        for h in range(2):
            query = projected[t][h * head : (h + 1) * head]
            keys = [p[size + h * head : size + (h + 1) * head] for p in projected]
            values = [p[2 * size + h * head : 2 * size + (h + 1) * head] for p in projected]
            score = torch.stack([query @ key / math.sqrt(head) for key in keys])
            share = torch.exp(score) / torch.exp(score).sum()
            heads.append(sum(share[s] * values[s] for s in range(len(tokens))))
        mixed = weights["layer.self_attn.out_proj.weight"] @ torch.cat(heads)
        mixed = mixed + weights["layer.self_attn.out_proj.bias"]
        x = layer_norm(token + mixed, weights["layer.norm1.weight"], weights["layer.norm1.bias"])
        wide = torch.relu(weights["layer.linear1.weight"] @ x + weights["layer.linear1.bias"])
        narrow = weights["layer.linear2.weight"] @ wide + weights["layer.linear2.bias"]
        after.append(
            layer_norm(x + narrow, weights["layer.norm2.weight"], weights["layer.norm2.bias"])
        )
    return after


def published(weights, count, noise, n_forward, step, damping):
    """Return log expected counts (trial, time, unit) and the divergence of every trial."""
    size = weights["cell.weight_hh"].shape[1]
    log_counts, divergences = [], []
    for trial in range(len(count)):
        x = count[trial]
        h = gru(weights, x[0], torch.zeros(size, dtype=x.dtype))
        heads = weights["initial.weight"] @ h + weights["initial.bias"]
        mean_z, mean_v, log_z, log_v = (heads[i * size : (i + 1) * size] for i in range(4))
        z = mean_z + torch.exp(log_z / 2) * noise[trial, 0]
        v = mean_v + torch.exp(log_v / 2) * noise[trial, 1]
        divergence = sum(
            ((m**2 + torch.exp(s) - 1 - s) / 2).sum() for m, s in ((mean_z, log_z), (mean_v, log_v))
        )
        tokens = [torch.cat([z, v, h])]
        for t in range(1, len(x) + n_forward):
            h = gru(weights, x[min(t, len(x)) - 1], h)
            push = gradient(weights["potential.kernel"], z)
            z, v = (
                z + step * v,
                (1 - damping) * (v - step * push) + math.sqrt(2 * damping) * noise[trial, t + 1],
            )
            # The code hands over the sample as mean and the variance as logarithm of a variance.
            for d in range(size):
                divergence = divergence + 0.5 * (
                    math.log(0.1) - 2 * damping - 1 + v[d] ** 2 / 0.1 + math.exp(2 * damping) / 0.1
                )
            tokens.append(torch.cat([z, v, h]))
        decoded = transformer(weights, tokens)
        read = [weights["readout.weight"] @ token + weights["readout.bias"] for token in decoded]
        log_counts.append(torch.stack(read))
        divergences.append(divergence)
    return torch.stack(log_counts), torch.stack(divergences)
