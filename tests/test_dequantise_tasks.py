"""Tasks: their entropies against known figures and by listing, what is drawn, and what counts as valid."""

import itertools
import math

import pytest
import torch

from labkit.dequantise import GraphColouring, MarkovLanguage, QuantisedEightGaussians, SetShuffling, SetSummation
from labkit.dequantise.tasks import choose


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


TASKS = {
    "shuffling": lambda: SetShuffling(4),
    "summation": lambda: SetSummation(4, 10),
    "colouring": lambda: GraphColouring.random(6, degree=3.0),
    "gaussians": lambda: QuantisedEightGaussians(12),
    "markov": lambda: MarkovLanguage(5, 4, successors=3),
}
over_tasks = pytest.mark.parametrize("make", TASKS.values(), ids=TASKS.keys())


@pytest.mark.parametrize("size, bits", [(4, 1.1462), (6, 1.5820), (8, 1.9124), (16, 2.7656), (32, 3.6770), (1, 0.0)])
def test_shuffling_optimum(size, bits):
    assert SetShuffling(size).optimum == pytest.approx(bits, abs=6e-5)


@pytest.mark.parametrize("size, total, bits", [(4, 10, 1.3649), (6, 16, 1.8556), (8, 21, 2.0149), (16, 42, 2.2427)])
def test_summation_optimum(size, total, bits):
    assert SetSummation(size, total).optimum == pytest.approx(bits, abs=6e-5)


@over_tasks
def test_draws_are_valid_tokens_and_repeat_with_their_seed(make):
    task = make()
    tokens = task.draw(3000, generator())
    assert tokens.shape == (3000, task.positions) and tokens.dtype == torch.long
    assert tokens.min() >= 0 and tokens.max() < task.vocabulary_size
    assert task.valid(tokens).double().mean() > (0.995 if isinstance(task, QuantisedEightGaussians) else 0.9999999)
    assert torch.equal(tokens, task.draw(3000, generator())) and not torch.equal(tokens, task.draw(3000, generator(1)))
    assert task.draw(0, generator()).shape == (0, task.positions)
    assert task.valid(tokens.reshape(3, 1000, -1)).shape == (3, 1000)
    with pytest.raises(ValueError, match=rf"expected sequences of {task.positions} tokens; got shape \(2, 9\)"):
        task.valid(torch.zeros(2, 9, dtype=torch.long))


@over_tasks
def test_the_optimum_is_the_entropy_of_what_is_drawn(make):
    """A plug-in estimate over all sequences: biased low by about (number of sequences)/(2 N ln 2) bits."""
    task, draws = make(), 200_000
    tokens = task.draw(draws, generator())
    code = (tokens * task.vocabulary_size ** torch.arange(task.positions)).sum(-1)
    shares = torch.unique(code, return_counts=True)[1].double() / draws
    found = -(shares * shares.log2()).sum() / task.positions
    bias = len(shares) / (2 * draws * math.log(2)) / task.positions
    # The standard deviation of log P(x) is below 2 bits in each of these tasks: five standard errors of its mean.
    assert found + bias == pytest.approx(task.optimum, abs=5 * 2 / math.sqrt(draws))


def test_uniform_tasks_draw_each_sequence_equally_often():
    for task, count in [(SetShuffling(3), 6), (SetSummation(3, 6), 7), (GraphColouring(3, [(0, 1)]), 18)]:
        tokens = task.draw(36_000, generator())
        counts = torch.unique(tokens, dim=0, return_counts=True)[1].double()
        assert len(counts) == count
        expected = 36_000 / count
        chi_squared = ((counts - expected) ** 2 / expected).sum().item()
        assert chi_squared < 3 * count + 20  # beyond the 0.999 quantile of χ² with count − 1 degrees of freedom


def test_summation_counts_by_listing():
    for size, total in [(3, 5), (4, 10), (2, 4), (1, 1)]:
        rows = itertools.product(range(1, size + 1), repeat=size)
        assert SetSummation(size, total).count == sum(sum(row) == total for row in rows)
    assert SetSummation(4, 10).valid(torch.tensor([[0, 1, 2, 3], [0, 0, 0, 0]])).tolist() == [True, False]
    with pytest.raises(ValueError, match=r"4 values in 1 ... 4 cannot sum to 17; expected 4 to 16"):
        SetSummation(4, 17)


def test_colourings_against_chromatic_polynomials():
    path = [(i, i + 1) for i in range(5)]
    assert GraphColouring(6, path).count == 3 * 2**5
    assert GraphColouring(5, [(i, (i + 1) % 5) for i in range(5)]).count == 2**5 - 2  # (c − 1)ⁿ + (−1)ⁿ (c − 1)
    assert GraphColouring(4, list(itertools.combinations(range(4), 2)), colours=5).count == 5 * 4 * 3 * 2
    graph = GraphColouring.random(7, degree=3.0, seed=2)
    rows = torch.tensor(list(itertools.product(range(3), repeat=7)))
    assert graph.count == graph.valid(rows).sum() and graph.valid(graph.colourings.long()).all()
    assert GraphColouring.random(20, seed=1).optimum > 0
    # a node with a smaller number beside a larger one, in whatever order they were coloured
    assert GraphColouring(3, [(2, 1)]).valid(torch.tensor([[0, 1, 1], [1, 1, 0]])).tolist() == [False, True]


def test_graphs_that_cannot_be_coloured_or_listed_are_refused():
    with pytest.raises(ValueError, match="has no proper colouring with 3 colours"):
        GraphColouring(4, list(itertools.combinations(range(4), 2)))
    with pytest.raises(ValueError, match="graph of 30 nodes and 0 edges has too many colourings to list"):
        GraphColouring(30, [])
    with pytest.raises(ValueError, match=r"expected edges between different nodes among 0 ... 2, .* like \[\(1, 1\)\]"):
        GraphColouring(3, [(1, 1)])


def test_markov_chain_is_stationary_and_its_entropy_is_known():
    task = MarkovLanguage(6, 5, successors=3, seed=4)
    assert (task.stationary @ task.transitions - task.stationary).abs().max() < 1e-12
    assert ((task.transitions > 0).sum(-1) == 3).all() and task.stationary.sum().item() == pytest.approx(1.0)
    every = torch.cartesian_prod(*[torch.arange(6)] * 5)
    p = task.stationary[every[:, 0]]
    for t in range(4):
        p = p * task.transitions[every[:, t], every[:, t + 1]]
    entropy = -torch.special.xlogy(p, p).sum() / math.log(2)
    assert task.optimum == pytest.approx(entropy.item() / 5, rel=1e-10)
    assert torch.equal(task.valid(every), p > 0)
    with pytest.raises(ValueError, match="expected 2 <= successors <= vocabulary_size .* got successors=9"):
        MarkovLanguage(6, 5, successors=9)


def test_eight_gaussians_are_eight_and_symmetric():
    task = QuantisedEightGaussians(24)
    p = task.probabilities
    assert p.sum().item() == pytest.approx(1.0)
    assert (p - p.T).abs().max() < 1e-12 and (p - p.flip(0)).abs().max() < 1e-12
    assert 0.999 <= p[task.likely].sum().item() < 0.9999 and p[task.likely].min() >= p[~task.likely].max()
    assert p[12, 12] < 1e-6 and not task.likely[12, 12]
    with pytest.raises(ValueError, match="expected levels >= 2 and positive sizes; got levels=1"):
        QuantisedEightGaussians(1)


def test_choose_never_takes_what_cannot_be():
    shares = torch.tensor([[0.0, 0.25, 0.0, 0.75]], dtype=torch.float64).expand(40_000, -1)
    counts = torch.bincount(choose(shares, generator()), minlength=4) / 40_000
    assert counts[[0, 2]].sum() == 0 and abs(counts[1] - 0.25) < 5 * 0.0022
