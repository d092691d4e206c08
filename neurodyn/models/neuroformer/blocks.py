"""Attention that keeps its keys and values, and the block around it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Attention", "Block", "Context", "GrowingKeys", "KeysValues"]


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
        """Return those of some rows of the batch; shared ones stay as they are."""
        if len(self.key) == 1:
            return self
        known = None if self.known is None else self.known[row]
        return KeysValues(self.key[row], self.value[row], known)


class GrowingKeys:
    """Keys and values of tokens so far, in memory that is set aside once.

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
        self._memory = like.new_empty(2, n_rows, n_heads, n_tokens, head_size)
        self.n_filled = 0

    def add(self, new: KeysValues) -> KeysValues:
        """Add tokens and return all so far."""
        stop = self.n_filled + new.key.shape[2]
        self._memory[0, :, :, self.n_filled : stop] = new.key
        self._memory[1, :, :, self.n_filled : stop] = new.value
        self.n_filled = stop
        return KeysValues(self._memory[0, :, :, :stop], self._memory[1, :, :, :stop])

    def select(self, row: Tensor) -> None:
        """Keep only some rows of the batch."""
        self._memory = self._memory[:, row]


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

    def project(self, token: Tensor, time: Tensor, known: Tensor | None = None) -> KeysValues:
        """Return keys and values of tokens (batch, token, feature) at times [bins]."""
        key, value = (self._heads(part) for part in self.key_value(token).chunk(2, -1))
        allowed = None if known is None else known[:, None, None, :]
        return KeysValues(self._rotate(key, time), value, allowed)

    def forward(
        self, token: Tensor, time: Tensor, read: KeysValues, *, causal: bool = False
    ) -> Tensor:
        """Return what tokens (batch, token, feature) at times [bins] find in what they read.

        With ``causal``, token i reads the first i + 1 of as many as there are.
        """
        query = self._rotate(self._heads(self.query(token)), time)
        n_rows, shared = len(query), len(read.key) < len(query)
        if shared:
            # queries of all windows side by side: what they share is read once
            query = query.transpose(0, 1).flatten(1, 2)[None]
        mixed = functional.scaled_dot_product_attention(
            query,
            read.key,
            read.value,
            attn_mask=read.known,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal,
        )
        if shared:
            mixed = mixed.reshape(self.n_heads, n_rows, -1, mixed.shape[-1]).transpose(0, 1)
        found: Tensor = self.mix(mixed.transpose(1, 2).flatten(2))
        return found

    def _heads(self, feature: Tensor) -> Tensor:
        return feature.view(*feature.shape[:2], self.n_heads, -1).transpose(1, 2)

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
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        token: Tensor,
        time: Tensor,
        read: KeysValues | None = None,
        *,
        causal: bool = False,
        known: Tensor | None = None,
    ) -> Tensor:
        """Return new tokens.

        Parameters
        ----------
        token, time
            Features (batch, token, feature) and times [bins] (batch, token).
        read
            What is read; the tokens themselves if not given: earlier ones with ``causal``, else
            those that are ``known``, bool (batch, token).
        """
        normed = self.attention_norm(token)
        if read is None:
            read = self.attention.project(normed, time, known)
        token = token + self.dropout(self.attention(normed, time, read, causal=causal))
        added: Tensor = token + self.dropout(self.perceptron(self.perceptron_norm(token)))
        return added

    def read(self, context: Context) -> KeysValues:
        """Return keys and values of a context, one row for each window."""
        found: KeysValues = self.attention.project(context.token, context.time, context.known)
        return found if context.row is None else found.select(context.row)

    def step(self, token: Tensor, time: Tensor, grown: GrowingKeys) -> Tensor:
        """Return the newest token, (batch, 1, feature), which reads all before; it is added."""
        new = self.attention.project(self.attention_norm(token), time)
        newest: Tensor = self(token, time, grown.add(new))
        return newest
