from __future__ import annotations

import os
import random

import numpy as np
import pytest
import torch

from neurodyn.errors import ConfigError
from neurodyn.training.randomness import (
    capture_random,
    deterministic_kernels,
    random_scope,
    restore_random,
    torch_random,
)

CPU = torch.device("cpu")


def draw():
    legacy = np.random.random()  # noqa: NPY002
    return torch.rand(2).tolist(), legacy, random.random(), random.gauss(0, 1)


def test_a_scope_leaves_the_generators_of_the_caller_untouched():
    before = capture_random(CPU)
    expected = draw()
    restore_random(before, CPU)
    with random_scope([1, 2], CPU):
        draw()
    assert draw() == expected


@pytest.mark.parametrize("draws", [0, 1, 2])
def test_captured_states_continue_exactly(draws):
    with random_scope([3], CPU):
        for _ in range(draws):
            draw()  # one call leaves the second normal number of a pair waiting
        state = capture_random(CPU)
        assert all(tensor.device == CPU for tensor in state.values())
        first = draw()
        restore_random(state, CPU)
        assert draw() == first


def test_streams_depend_on_every_word_of_the_entropy():
    def first(*entropy):
        with random_scope(entropy, CPU):
            return draw()

    assert first(1, 0) == first(1, 0)
    assert len({str(first(*entropy)) for entropy in [(1, 0), (0, 1), (1, 1), (0, 0)]}) == 4


def test_torch_states_alone_restore_torch_alone():
    with random_scope([0], CPU):
        state = torch_random(CPU)
        first, legacy, *_ = draw()
        restore_random(state, CPU)
        again, other, *_ = draw()
    assert again == first
    assert other != legacy


def test_a_device_with_a_generator_of_its_own_is_kept_too(monkeypatch):
    class Backend:
        state = torch.tensor([1, 2, 3], dtype=torch.uint8)

        @classmethod
        def get_rng_state(cls):
            return cls.state.clone()

        @classmethod
        def set_rng_state(cls, state):
            cls.state = state

    monkeypatch.setattr(torch, "mps", Backend)
    device = torch.device("mps")
    state = capture_random(device)
    Backend.state = torch.zeros(3, dtype=torch.uint8)
    restore_random(state, device)
    assert Backend.state.tolist() == [1, 2, 3]
    assert "mps" not in capture_random(CPU)


def test_deterministic_kernels_are_asked_for_inside_only(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with deterministic_kernels(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.are_deterministic_algorithms_enabled()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with deterministic_kernels(True):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    with deterministic_kernels(False):
        assert not torch.are_deterministic_algorithms_enabled()


def test_kernels_that_are_not_deterministic_are_refused():
    refused = r"no reproducible kernel[\s\S]*put_[\s\S]*deterministic=False"
    with pytest.raises(ConfigError, match=refused), deterministic_kernels(True):
        torch.zeros(3).put_(torch.tensor([0, 1]), torch.ones(2))
    with pytest.raises(RuntimeError, match="another"), deterministic_kernels(True):
        raise RuntimeError("another")
    assert torch.utils.deterministic.fill_uninitialized_memory
