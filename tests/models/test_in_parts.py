"""Rows of wide layers, some at a time."""

import pytest
import torch
from torch import nn

from neurodyn.models import in_parts as module
from neurodyn.models.in_parts import in_parts


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(module, "PART", 64)


@pytest.mark.parametrize("n_rows", [0, 1, 3, 4, 5, 17])
def test_rows_and_gradients_are_those_of_all_at_once(small_parts, n_rows):
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Linear(5, 16), nn.GELU(), nn.Linear(16, 3)).double()
    row = torch.randn(n_rows, 5, dtype=torch.float64, requires_grad=True)
    shift = torch.randn(n_rows, 1, dtype=torch.float64, requires_grad=True)

    def function(row, shift):
        return layer(row + shift)

    found, expected = in_parts(function, row, shift, n_hidden=16), function(row, shift)
    torch.testing.assert_close(found, expected)
    wanted = [row, shift, *layer.parameters()]
    to = torch.randn_like(found)
    for own, other in zip(*(torch.autograd.grad(x, wanted, to) for x in (found, expected))):
        torch.testing.assert_close(own, other)


@pytest.mark.parametrize(("n_hidden", "sizes"), [(16, [4, 4, 2]), (30, [2] * 5), (100, [1] * 10)])
def test_parts_have_few_hidden_units_and_one_row_at_least(small_parts, n_hidden, sizes):
    seen = []

    def function(row):
        seen.append(len(row))
        return row

    assert in_parts(function, torch.zeros(10, 2), n_hidden=n_hidden).shape == (10, 2)
    assert seen == sizes


def test_few_rows_go_at_once():
    row = torch.randn(3, 2)
    assert in_parts(lambda x: x, row, n_hidden=8) is row


def test_members_of_a_population_go_in_parts(small_parts):
    row = torch.randn(2, 9, 4)
    found = torch.vmap(lambda x: in_parts(torch.exp, x, n_hidden=16))(row)
    torch.testing.assert_close(found, row.exp())
