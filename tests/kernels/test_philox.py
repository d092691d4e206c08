"""The counter-based generator: published words, Triton's own numbers, and distributions."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from neurodyn.errors import ConfigError
from neurodyn.kernels import philox


@pytest.mark.parametrize(
    ("seed", "counter", "words"),
    [
        # of the authors' Random123, philox4x32-10; the upper half of the counter is 0 here
        (0, 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ],
)
def test_published_words(seed, counter, words):
    found = philox.integers(torch.tensor(seed), torch.tensor(counter))
    assert tuple(int(word) for word in found) == words


def test_words_equal_plain_integers():
    """Against the definition in Python's unbounded integers, keys and counters of 64 bits."""

    def words(seed, counter):
        low = 2**32 - 1
        key = [seed & low, seed >> 32 & low]
        c = [counter & low, counter >> 32, 0, 0]
        for _ in range(10):
            even, odd = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
            c = [odd >> 32 ^ c[1] ^ key[0], odd & low, even >> 32 ^ c[3] ^ key[1], even & low]
            key = [key[0] + 0x9E3779B9 & low, key[1] + 0xBB67AE85 & low]
        return c

    for seed in (1, -1, 2**40 + 7, -(2**63)):
        counters = [0, 1, 2**31, 2**32 - 1, 2**33 + 5, 2**62 + 3]
        found = torch.stack(philox.integers(torch.tensor(seed), torch.tensor(counters)), -1)
        assert found.tolist() == [words(seed, counter) for counter in counters]


def test_numbers_equal_those_of_triton():
    triton = pytest.importorskip("triton")
    import triton.language as tl

    @triton.jit
    def draw(seed, uniforms, normals, words, first, N: tl.constexpr):
        key, within = tl.load(seed), tl.arange(0, N)
        counter = first + within.to(tl.int64)
        a, b, c, d = tl.randint4x(key, counter)
        tl.store(words + 4 * within, a.to(tl.int64))
        tl.store(words + 4 * within + 1, b.to(tl.int64))
        tl.store(words + 4 * within + 2, c.to(tl.int64))
        tl.store(words + 4 * within + 3, d.to(tl.int64))
        tl.store(uniforms + within, tl.rand(key, counter))
        tl.store(normals + within, tl.randn(key, counter))

    n = 64
    for first in (0, 2**32 - 20):
        seed = torch.tensor([-(2**45) + 17])
        uniforms, normals = torch.full((n,), torch.nan), torch.full((n,), torch.nan)
        words = torch.empty(n, 4, dtype=torch.int64)
        draw[(1,)](seed, uniforms, normals, words, first, N=n)
        counter = first + torch.arange(n)
        assert torch.equal(torch.stack(philox.integers(seed, counter), -1), words & 0xFFFFFFFF)
        assert torch.equal(philox.uniform(seed, counter), uniforms)
        torch.testing.assert_close(philox.normal(seed, counter), normals, rtol=1e-5, atol=1e-6)


def test_distributions():
    seed, counter = torch.tensor(11), torch.arange(20_000)
    for uniform in philox.uniform4(seed, counter):
        assert uniform.min() >= 0.0
        assert uniform.max() < 1.0
        assert stats.kstest(uniform.double().numpy(), "uniform").pvalue > 1e-3
    draws = torch.stack(philox.normal4(seed, counter)).double()
    for normal in draws:
        assert stats.kstest(normal.numpy(), "norm").pvalue > 1e-3
    off_diagonal = torch.corrcoef(draws) - torch.eye(4)
    assert off_diagonal.abs().max() < 0.03
    assert torch.equal(philox.normal4(seed, counter)[0], philox.normal(seed, counter))


def test_greatest_word_stays_below_one():
    words = torch.tensor([2**31 - 1, 2**31, 0, 2**32 - 1])
    found = philox._to_uniform(words)
    assert found.max() < 1.0
    assert found[2] == found[3] == 0.0


def test_seeds_broadcast_and_differ():
    seeds = torch.tensor([[1], [2]])
    found = philox.uniform(seeds, torch.arange(5))
    assert found.shape == (2, 5)
    assert torch.equal(found[1], philox.uniform(torch.tensor(2), torch.arange(5)))
    assert (found[0] != found[1]).all()


def test_floating_seeds_are_refused():
    with pytest.raises(ConfigError, match=r"seed must be integers\.\n  found: torch.float32"):
        philox.uniform(torch.tensor(1.0), torch.tensor(0))
    with pytest.raises(ConfigError, match="offset must be integers"):
        philox.uniform(torch.tensor(1), torch.tensor(0.5))
