"""Attention that keeps its keys and values, and the block around it."""

from __future__ import annotations

from copy import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurodyn.models.dropout import dropout
from neurodyn.models.neuroformer.packing import Packing

__all__ = ["Attention", "Block", "Context", "GrowingKeys", "KeysValues"]

# Tokens that fit into the memory of keys at first.
FIRST_CAPACITY = 8
# Numbers that a CPU takes at once.
VECTOR = 16


class Context(NamedTuple):
    """What blocks read besides the window's own tokens.

    Attributes
    ----------
    token
        Features, (context row, token, feature).
    known
        Which tokens exist, bool (context row, token); at least one of each row does.
    time
        Of the tokens, from the begin of the window [bins], (context row, token).
    row
        Context row of each window (batch,), where windows share some; else one each, in order.
    """

    token: Tensor
    known: Tensor
    time: Tensor
    row: Tensor | None = None


class KeysValues(NamedTuple):
    """Keys and values (batch, head, token, feature), and which exist, bool (batch, 1, 1, token).

    Those that all windows share have a batch of 1.
    """

    key: Tensor
    value: Tensor
    known: Tensor | None = None

    def select(self, row: Tensor) -> KeysValues:
        """Return those of some rows of the batch, contiguous; shared ones stay as they are."""
        if len(self.key) == 1:
            return self
        # not key[row], which is slower, forward and backward, and keeps the strides of a view
        known = None if self.known is None else self.known.index_select(0, row)
        return KeysValues(self.key.index_select(0, row), self.value.index_select(0, row), known)


class GrowingKeys:
    """Keys and values of tokens so far, in memory that doubles when it is full.

    Parameters
    ----------
    n_rows, n_heads, n_tokens, head_size
        Sizes; no more than ``n_tokens`` tokens are ever added.
    like
        A tensor of the wanted device and dtype.

    Examples
    --------
    >>> keys = GrowingKeys(2, 1, 4, 3, torch.zeros(1))
    >>> keys.add(KeysValues(torch.zeros(2, 1, 1, 3), torch.zeros(2, 1, 1, 3))).key.shape
    torch.Size([2, 1, 1, 3])
    """

    def __init__(
        self, n_rows: int, n_heads: int, n_tokens: int, head_size: int, like: Tensor
    ) -> None:
        # what is read lies close together: memory for all tokens at once is slower to read
        capacity = min(n_tokens, FIRST_CAPACITY)
        self._memory = like.new_empty(2, n_rows, n_heads, capacity, head_size)
        self._n_tokens, self.n_filled = n_tokens, 0

    def add(self, new: KeysValues) -> KeysValues:
        """Add tokens and return all so far."""
        start, stop = self.n_filled, self.n_filled + new.key.shape[2]
        capacity = self._memory.shape[3]
        if stop > capacity:
            more = max(min(2 * capacity, self._n_tokens), stop) - capacity
            self._memory = functional.pad(self._memory, (0, 0, 0, more))
        key, value = self._memory[:, :, :, :stop].unbind(0)
        key[:, :, start:], value[:, :, start:] = new.key, new.value
        self.n_filled = stop
        return KeysValues(key, value)

    def select(self, row: Tensor) -> None:
        """Keep only some rows of the batch."""
        self._memory = self._memory.index_select(1, row)

    def branch(self, row: Tensor) -> GrowingKeys:
        """Return a copy of some rows, which grows by itself."""
        other = copy(self)
        other.select(row)
        return other


class Attention(nn.Module):
    """Scaled dot-product attention whose keys and values can be made once and read often.

    Parameters
    ----------
    size, n_heads
        Features of a token and heads.
    dropout
        Dropout of the weights.
    rates
        Angles per bin by which pairs of features of a head are rotated with time, (pair,); no
        rotation if not given.

    References
    ----------
    Su et al., arXiv 2104.09864: rotary positions; here of times.

    Examples
    --------
    >>> attention, token = Attention(8, 2), torch.randn(3, 5, 8)
    >>> attention(token, torch.zeros(3, 5), attention.project(token, torch.zeros(3, 5))).shape
    torch.Size([3, 5, 8])
    """

    rates: Tensor | None

    def __init__(
        self, size: int, n_heads: int, dropout: float = 0.0, rates: Tensor | None = None
    ) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        # Without biases: that of a key shifts all scores of a row alike and is never learned.
        self.query = nn.Linear(size, size, bias=False)
        self.key_value = nn.Linear(size, 2 * size, bias=False)
        self.mix = nn.Linear(size, size)
        self.register_buffer("rates", rates, persistent=False)

    def project(
        self,
        token: Tensor,
        time: Tensor,
        known: Tensor | None = None,
        packing: Packing | None = None,
    ) -> KeysValues:
        """Return keys and values of tokens (batch, token, feature) at times [bins]."""
        made = self.key_value(token)
        if packing is not None:
            made = packing.pad(made)
        key, value = (self._heads(part) for part in made.chunk(2, -1))
        allowed = None if known is None else known[:, None, None, :]
        return KeysValues(self._rotate(key, time), value, allowed)

    def forward(
        self,
        token: Tensor,
        time: Tensor,
        read: KeysValues,
        *,
        causal: bool = False,
        packing: Packing | None = None,
    ) -> Tensor:
        """Return what tokens (batch, token, feature) at times [bins] find in what they read.

        With ``causal``, token i reads the first i + 1 of as many as there are. With ``packing``
        tokens are packed, given and returned; times are not.
        """
        query = self._queries(token, time, packing)
        n_rows, shared = len(query), len(read.key) < len(query)
        if shared:
            # queries of all windows side by side: what they share is read once
            query = query.transpose(0, 1).flatten(1, 2)[None]
        share = self.dropout if self.training else 0.0
        if share and query.is_cpu:
            # torch would hold the weights too and take longer
            mixed = _weights(query, read, causal, share) @ read.value
        else:
            mixed = functional.scaled_dot_product_attention(
                query,
                read.key,
                read.value,
                attn_mask=read.known,
                dropout_p=share,
                is_causal=causal,
            )
        if shared:
            mixed = mixed.reshape(self.n_heads, n_rows, -1, mixed.shape[-1]).transpose(0, 1)
        joined = mixed.transpose(1, 2).flatten(2)
        found: Tensor = self.mix(joined if packing is None else packing.pack(joined))
        return found

    def weights(
        self,
        token: Tensor,
        time: Tensor,
        read: KeysValues,
        *,
        causal: bool = False,
        packing: Packing | None = None,
    ) -> Tensor:
        """Return how :meth:`forward` weighs what is read, (batch, head, token, read token)."""
        return _weights(self._queries(token, time, packing), read, causal)

    def _queries(self, token: Tensor, time: Tensor, packing: Packing | None) -> Tensor:
        query = self.query(token)
        if packing is not None:
            query = packing.pad(query)
        return self._rotate(self._heads(query), time)

    def _heads(self, feature: Tensor) -> Tensor:
        n_rows, n_tokens, size = feature.shape
        parts = feature.view(n_rows, n_tokens, self.n_heads, size // self.n_heads)
        return parts.transpose(1, 2)

    def _rotate(self, feature: Tensor, time: Tensor) -> Tensor:
        if self.rates is None:
            return feature
        angle = time[:, None, :, None].float() * self.rates
        cosine, sine = torch.cos(angle), torch.sin(angle)
        first, second = feature.chunk(2, -1)
        turned = [first * cosine - second * sine, first * sine + second * cosine]
        return torch.cat(turned, -1).to(feature.dtype)


class Block(nn.Module):
    """Attention and a perceptron, both on normalised input and added.

    Parameters
    ----------
    size, n_heads, hidden_size
        Features of a token, heads, and hidden units of the perceptron.
    dropout
        Dropout of weights and of what is added.
    rates
        As of :class:`Attention`.

    Examples
    --------
    >>> Block(8, 2, 16)(torch.randn(3, 5, 8), torch.zeros(3, 5)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(
        self,
        size: int,
        n_heads: int,
        hidden_size: int,
        dropout: float = 0.0,
        rates: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.attention_norm, self.perceptron_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.attention = Attention(size, n_heads, dropout, rates)
        self.perceptron = nn.Sequential(
            nn.Linear(size, hidden_size), nn.GELU(), nn.Linear(hidden_size, size)
        )
        self.dropout = dropout

    def forward(
        self,
        token: Tensor,
        time: Tensor,
        read: KeysValues | None = None,
        *,
        causal: bool = False,
        known: Tensor | None = None,
        packing: Packing | None = None,
    ) -> Tensor:
        """Return new tokens.

        Parameters
        ----------
        token, time
            Features (batch, token, feature) and times [bins] (batch, token).
        read
            What is read; the tokens themselves if not given: earlier ones with ``causal``, else
            those that are ``known``, bool (batch, token).
        packing
            Of tokens that are packed, (token, feature), as those that are returned then are.
        """
        normed = self.attention_norm(token)
        if read is None:
            read = self.attention.project(normed, time, known, packing)
        found = self.attention(normed, time, read, causal=causal, packing=packing)
        return self._added(token, found)

    def read(self, context: Context) -> KeysValues:
        """Return keys and values of a context, one row for each window."""
        found: KeysValues = self.attention.project(context.token, context.time, context.known)
        return found if context.row is None else found.select(context.row)

    def step(self, token: Tensor, time: Tensor, grown: GrowingKeys) -> Tensor:
        """Return the newest token, (batch, 1, feature), which reads all before; it is added."""
        normed = self.attention_norm(token)
        read = grown.add(self.attention.project(normed, time))
        return self._added(token, self.attention(normed, time, read))

    def _added(self, token: Tensor, found: Tensor) -> Tensor:
        """Return tokens with what attention found and what the perceptron makes of both."""
        share = self.dropout if self.training else 0.0
        token = token + dropout(found, share)
        return token + dropout(self.perceptron(self.perceptron_norm(token)), share)


def _weights(query: Tensor, read: KeysValues, causal: bool, share: float = 0.0) -> Tensor:
    """Return weights (batch, head, token, read token), a share of them dropped."""
    n_batch, n_heads, n_tokens, size = query.shape
    n_keys = read.key.shape[2]
    key, known = read.key, read.known
    # torch goes through a last dimension one by one that is shorter than a vector
    if n_more := max(VECTOR - n_keys, 0):
        key = functional.pad(key, (0, 0, 0, n_more))
        if known is not None or not causal:
            real = key.new_ones(1, 1, 1, n_keys, dtype=torch.bool) if known is None else known
            known = functional.pad(real, (0, n_more))
    bias = query.new_zeros(())
    if causal:
        bias = query.new_full((n_tokens, n_keys + n_more), -torch.inf).triu_(1)
    if known is not None:
        unknown = query.new_zeros(known.shape).masked_fill_(~known, -torch.inf)
        bias = (bias + unknown).expand(n_batch, n_heads, -1, -1).flatten(0, 1)
    queries, keys = query.flatten(0, 1), key.flatten(0, 1)
    score = torch.baddbmm(bias, queries, keys.mT, alpha=size**-0.5)
    weights = dropout(score.softmax(-1), share)[..., :n_keys]
    return weights.view(n_batch, n_heads, n_tokens, n_keys)
