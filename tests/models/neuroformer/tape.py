"""A stand-in for CUDA graphs on a CPU: a tape of operations, which are played on the same memory.

As with a graph nothing that is decided in Python is decided again, and what a capture writes is
undone, for a capture does not run.
"""

from __future__ import annotations

import contextlib

from torch.utils._python_dispatch import TorchDispatchMode


def _writes(func):
    """Return numbers and names of the arguments that an operation writes."""
    return [
        (number, argument.name)
        for number, argument in enumerate(func._schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]


class Tape(TorchDispatchMode):
    """What takes the place of ``torch.cuda.CUDAGraph``."""

    def __init__(self):
        super().__init__()
        self.operations, self.generators, self.replays = [], [], 0

    def register_generator_state(self, generator):
        self.generators.append(generator)

    def replay(self):
        self.replays += 1
        for func, args, kwargs, found in self.operations:
            again = func(*args, **kwargs)
            fresh = [x.alias_info is None for x in func._schema.returns]
            pairs = zip(found, again) if isinstance(found, tuple) else [(found, again)]
            for is_fresh, (old, new) in zip(fresh, pairs):
                if is_fresh:
                    old.copy_(new)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        for number, name in _writes(func):
            target = args[number] if number < len(args) else kwargs[name]
            self.undo.append((target, target.clone()))
        found = func(*args, **kwargs)
        self.operations.append((func, args, kwargs, found))
        return found

    @contextlib.contextmanager
    def capture(self):
        """What takes the place of ``torch.cuda.graph``."""
        self.undo = []
        states = [generator.get_state() for generator in self.generators]
        with self:
            yield
        for target, before in reversed(self.undo):
            target.copy_(before)
        for generator, state in zip(self.generators, states):
            generator.set_state(state)
