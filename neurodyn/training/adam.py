"""Adam for networks of many small parameters, where torch's takes longer to begin than to end.

A step of ``torch.optim.Adam`` looks at each parameter, and counts for each of them. Those of
a group have made as many steps as long as each gets a gradient in each step; then one count serves
them all, and the lists of tensors stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["Adam", "AdamW"]


class _Lists(NamedTuple):
    """Parameters that take a step, their moments, their counts, and which of these to raise."""

    parameters: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]
    counts: list[Tensor]
    raised: list[Tensor]


class _Together(torch.optim.Optimizer):
    """Steps over lists that are kept, in front of an optimizer of torch with ``fused``."""

    _update: Callable[..., Any]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # of whole groups, by their number
        self._kept: dict[int, _Lists] = {}

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take a step, as torch does."""
        for number, group in enumerate(self.param_groups):
            parameters = [p for p in group["params"] if p.grad is not None]
            lists = self._kept.get(number)
            if lists is None or len(parameters) < len(lists.parameters):
                lists = self._lists(number, parameters)
            if parameters:
                torch._foreach_add_(lists.raised, 1)
                self._update(
                    parameters, [p.grad for p in parameters], *lists[1:3], [], lists.counts,
                    lr=group["lr"], beta1=group["betas"][0], beta2=group["betas"][1],
                    weight_decay=group["weight_decay"], eps=group["eps"], amsgrad=False,
                    maximize=False, grad_scale=None, found_inf=None,
                )  # fmt: skip

    def load_state_dict(self, state_dict: Any) -> None:
        """Load a state, as torch does."""
        self._kept = {}
        super().load_state_dict(state_dict)

    def _lists(self, number: int, parameters: list[Tensor]) -> _Lists:
        """Return lists for some parameters of a group; those for all of them are kept."""
        if number in self._kept:
            for parameter in self._kept.pop(number).parameters:
                self.state[parameter]["step"] = self.state[parameter]["step"].clone()
        states = [self._state(parameter) for parameter in parameters]
        means, squares = ([s[name] for s in states] for name in ("exp_avg", "exp_avg_sq"))
        counts = [state["step"] for state in states]
        whole = len(parameters) == len(self.param_groups[number]["params"])
        if not whole or len({float(count) for count in counts}) > 1:
            return _Lists(parameters, means, squares, counts, counts)
        for state in states:
            state["step"] = counts[0]
        lists = _Lists(parameters, means, squares, counts[:1] * len(states), counts[:1])
        self._kept[number] = lists
        return lists

    def _state(self, parameter: Tensor) -> dict[str, Tensor]:
        """Return a parameter's moments and count, which begin at 0."""
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return state


class Adam(_Together, torch.optim.Adam):
    """:class:`torch.optim.Adam` with ``fused=True``, the same steps in less time.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.ones(2))
    >>> optimizer = Adam([weight], lr=0.5, fused=True)
    >>> for _ in range(2):
    ...     weight.grad = torch.ones(2)
    ...     optimizer.step()
    >>> weight.round().tolist()
    [0.0, 0.0]
    """

    _update = staticmethod(torch._fused_adam_)


class AdamW(_Together, torch.optim.AdamW):
    """:class:`torch.optim.AdamW`, likewise."""

    _update = staticmethod(torch._fused_adamw_)
