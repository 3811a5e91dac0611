"""The formulas of the peers: divergences and kernels against quadrature, sticks and their bound, codes, features."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Beta, Independent, Normal, kl_divergence

from labkit import PointEmbedding
from labkit.embeddings.peers import sticks
from labkit.embeddings.peers.adagram import AdaGram
from labkit.embeddings.peers.bayesian import gaussian_kl
from labkit.embeddings.peers.codebook import Codebook, SimVQ
from labkit.embeddings.peers.merging import merge_rare
from labkit.embeddings.peers.multimodal import log_expected_likelihood, log_kernels, overlaps
from labkit.embeddings.peers.noise import Noise
from labkit.embeddings.peers.sparse import SparseFeatures
from labkit.embeddings.peers.trained import padded
from labkit.embeddings.peers.weights import Around
from labkit.text import Corpus, Vocabulary

F64 = torch.float64


@pytest.fixture
def generator(seed) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- Gaussians ----------------------------------------------------------------------------------------------------


def test_the_divergence_of_spherical_gaussians_is_torch_s(generator):
    mean, other = (
        torch.randn(7, 5, generator=generator, dtype=F64),
        torch.randn(3, 1, 5, generator=generator, dtype=F64),
    )
    scale, other_scale = (torch.randn(*n, 1, generator=generator, dtype=F64) / 2 for n in ((7,), (3, 1)))
    whole = [Independent(Normal(m, s.exp().expand_as(m)), 1) for m, s in ((mean, scale), (other, other_scale))]
    expected = torch.stack([kl_divergence(whole[0], Independent(Normal(m, s.exp().expand_as(m)), 1))
                            for m, s in zip(other, other_scale, strict=True)])  # fmt: skip
    assert torch.allclose(gaussian_kl(mean, scale, other, other_scale), expected, rtol=1e-10)
    assert gaussian_kl(mean, scale, mean, scale).abs().max() < 1e-12


def mixture(generator, *batch: int, k: int, d: int, dtype=F64) -> tuple:
    """log weights, means and variances at random."""
    logits = torch.randn(*batch, k, generator=generator, dtype=dtype)
    means = torch.randn(*batch, k, d, generator=generator, dtype=dtype)
    return logits.log_softmax(-1), means, torch.rand(*batch, k, generator=generator, dtype=dtype) + 0.2


def density(of: tuple, x: torch.Tensor) -> torch.Tensor:
    """f(x) of one mixture at points (n, d)."""
    log_weight, means, variance = of
    parts = Independent(Normal(means, variance.sqrt()[:, None].expand_as(means)), 1)
    return (log_weight + parts.log_prob(x[:, None])).exp().sum(-1)


@pytest.mark.parametrize("d", [1, 2])
def test_the_expected_likelihood_kernel_is_the_integral_of_the_product(d, generator):
    """Quadrature on [−12, 12]^d; smooth integrands that vanish at the border, so the error is below 1e-8."""
    first, second = mixture(generator, k=3, d=d), mixture(generator, k=2, d=d)
    line = torch.linspace(-12, 12, 4001 if d == 1 else 401, dtype=F64)
    step = (line[1] - line[0]).item()
    x = torch.cartesian_prod(*[line] * d).reshape(-1, d)
    integral = (density(first, x) * density(second, x)).sum() * step**d
    assert math.isclose(log_expected_likelihood(first, second).exp(), integral, rel_tol=1e-8)


def test_the_kernel_is_symmetric_and_largest_with_itself(generator):
    first, second = mixture(generator, k=2, d=3), mixture(generator, k=4, d=3)
    assert torch.allclose(log_expected_likelihood(first, second), log_expected_likelihood(second, first))
    both = log_expected_likelihood(first, first) + log_expected_likelihood(second, second)
    assert 2 * log_expected_likelihood(first, second) <= both  # Cauchy and Schwarz


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-4), (F64, 1e-10)])
def test_overlaps_of_many_are_those_of_each(dtype, tolerance, generator):
    words, others = mixture(generator, 5, k=3, d=4, dtype=dtype), mixture(generator, 5, 6, k=2, d=4, dtype=dtype)
    found = overlaps(words, others)
    assert found.shape == (5, 3, 6)
    for b in range(5):
        for m in range(6):
            second = tuple(field[b, m] for field in others)
            whole = log_expected_likelihood(tuple(field[b] for field in words), second)
            assert torch.isclose(found[b, :, m].logsumexp(0), whole, atol=tolerance)
            one = torch.zeros(1, dtype=dtype), words[1][b, :1], words[2][b, :1]
            assert torch.isclose(found[b, 0, m] - words[0][b, 0], log_expected_likelihood(one, second), atol=tolerance)


def test_kernels_of_far_points_are_finite_and_fall_with_the_distance():
    means = torch.tensor([[0.0], [1e3], [1e6]])
    log_kernel = log_kernels(means[:1], torch.ones(1), means, torch.ones(3))[0]
    assert log_kernel.isfinite().all() and (log_kernel.diff() < 0).all()


def test_negatives_come_as_often_as_counts_to_the_three_quarters(generator):
    """60,000 draws, each share within 5 standard errors."""
    drawn = Noise(Vocabulary(["a", "b", "c"], [10_000, 100, 1])).like(
        torch.zeros(300, 200, dtype=torch.int64), generator
    )
    expected = np.array([1000, 31.6228, 1]) / 1032.6228
    share = np.bincount(drawn.flatten(), minlength=3) / 60_000
    assert (np.abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / 60_000)).all()


# --- sticks -------------------------------------------------------------------------------------------------------

COUNTS = {
    "nothing seen": [0.0, 0.0, 0.0, 0.0],
    "one sense": [1000.0, 0.0, 0.0, 0.0],
    "the last alone": [0.0, 0.0, 0.0, 50.0],
    "many": [3.0, 500.0, 0.1, 20.0],
}


@pytest.mark.parametrize("alpha", [0.01, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)
def test_weights_sum_to_one_and_are_above_their_expected_logarithms(counts, alpha):
    counts = torch.tensor(counts, dtype=F64)
    weights = sticks.mean_weights(counts, alpha)
    assert math.isclose(weights.sum(), 1, rel_tol=1e-12) and (weights > 0).all()
    assert (sticks.expected_log_weights(counts, alpha) <= weights.log() + 1e-12).all()  # Jensen


def test_expected_logarithms_are_those_of_sampled_sticks(seed):
    """100,000 samples, for each sense within 5 standard errors of the mean."""
    counts, alpha = torch.tensor([3.0, 7.0, 0.5, 2.0], dtype=F64), 0.7
    a, b = 1 + counts[:3].numpy(), alpha + np.array([9.5, 2.5, 2.0])
    taken = np.random.default_rng(seed).beta(a, b, size=(100_000, 3))
    left = np.cumprod(1 - taken, axis=1)
    weights = np.concatenate([taken, np.ones((100_000, 1))], 1) * np.concatenate([np.ones((100_000, 1)), left], 1)
    for found, sampled in (
        (sticks.expected_log_weights(counts, alpha), np.log(weights)),
        (sticks.mean_weights(counts, alpha), weights),
    ):
        error = sampled.std(0) / math.sqrt(100_000)
        assert (np.abs(found.numpy() - sampled.mean(0)) < 5 * error).all()


def test_a_smaller_alpha_leaves_less_for_later_senses():
    counts = torch.tensor([5.0, 0.0, 0.0], dtype=F64)
    later = [sticks.mean_weights(counts, alpha)[1:].sum().item() for alpha in (10.0, 1.0, 0.1)]
    assert later[0] > later[1] > later[2]


@pytest.mark.parametrize("alpha", [0.1, 2.0])
def test_the_bound_never_falls_and_senses_without_occurrences_die(alpha, generator):
    which = torch.randint(2, (60,), generator=generator)
    log_likelihood = torch.randn(60, 5, generator=generator, dtype=F64) - 4
    log_likelihood[torch.arange(60), 3 * which] += 8  # senses 0 and 3 explain the occurrences, 1, 2 and 4 do not
    counts, bounds = torch.full((5,), 12.0, dtype=F64), []
    for _ in range(30):
        counts = sticks.update_counts(log_likelihood, counts, alpha)
        bounds.append(sticks.evidence_bound(log_likelihood, counts, alpha).item())
    assert (np.diff(bounds) > -1e-9).all() and bounds[-1] > bounds[0]
    assert math.isclose(counts.sum(), 60, rel_tol=1e-9)
    assert counts[[0, 3]].min() > 15 and counts[[1, 2, 4]].max() < 5


def test_the_bound_is_below_the_evidence(generator):
    """Two senses, one stick: the evidence is an integral over it, by quadrature in the prior's quantiles."""
    log_likelihood, alpha = torch.randn(12, 2, generator=generator, dtype=F64) * 2, 0.5
    u = (torch.arange(20_000, dtype=F64) + 0.5) / 20_000
    beta = 1 - (1 - u) ** (1 / alpha)  # quantiles of Beta(1, α)
    weights = torch.stack([beta, 1 - beta], -1)
    evidence = ((weights[:, None] * log_likelihood.exp()).sum(-1).log().sum(-1)).exp().mean().log()
    counts = torch.full((2,), 6.0, dtype=F64)
    for _ in range(200):
        counts = sticks.update_counts(log_likelihood, counts, alpha)
    gap = evidence - sticks.evidence_bound(log_likelihood, counts, alpha)
    assert 0 < gap < 2


def test_the_posterior_of_sticks_counts_what_comes_later():
    q = sticks.stick_posterior(torch.tensor([4.0, 2.0, 3.0]), alpha=0.5)
    assert isinstance(q, Beta)
    assert q.concentration1.tolist() == [5, 3] and q.concentration0.tolist() == [5.5, 3.5]


def text(n: int = 120) -> Corpus:
    rng = np.random.default_rng(0)
    return Corpus.from_sentences([[f"w{i}" for i in rng.integers(12, size=6)] for _ in range(n)], min_count=1)


def test_expected_counts_stay_as_many_as_there_are_occurrences():
    corpus = text()
    system = AdaGram(vector_dim=4, negatives=4, steps=25, passes=1e-6, batch_size=64).fit(corpus, progress=False)
    assert torch.allclose(system.counts.sum(1), system.total, rtol=1e-4) and (system.counts >= 0).all()
    assert not torch.allclose(system.counts, system.total[:, None] * torch.tensor([16, 8, 4, 2, 1]) / 31, rtol=0.01)
    weights = system.weights("w3")
    assert math.isclose(weights.sum(), 1, rel_tol=1e-9) and system.n_senses("w3") == (weights >= 0.05).sum()


# --- codes --------------------------------------------------------------------------------------------------------


def test_a_step_moves_every_code_although_one_is_chosen(generator):
    """Of a plain codebook only the chosen row would have a gradient."""
    torch.manual_seed(0)
    quantise = SimVQ(codes=9, dim=4)
    before = quantise.codes().detach().clone()
    _, number, loss = quantise(torch.randn(1, 4, generator=generator))
    assert len(number) == 1
    loss.sum().backward()
    with torch.no_grad():
        quantise.map.weight -= 0.1 * quantise.map.weight.grad
    assert ((quantise.codes() - before).norm(dim=1) > 1e-6).all()
    assert not quantise.fixed.requires_grad


def test_the_nearest_code_is_chosen_and_the_gradient_passes_straight_through(generator):
    torch.manual_seed(0)
    quantise = SimVQ(codes=9, dim=4)
    vectors = torch.randn(20, 4, generator=generator, requires_grad=True)
    q, number, loss = quantise(vectors)
    distances = (vectors[:, None] - quantise.codes()).square().sum(-1)
    assert torch.equal(number, distances.argmin(1)) and torch.allclose(q, quantise.codes()[number], atol=1e-6)
    assert torch.allclose(loss, 1.25 * distances.amin(1), rtol=1e-4)
    slope = torch.randn(20, 4, generator=generator)
    (gradient,) = torch.autograd.grad((q * slope).sum(), vectors)
    assert torch.equal(gradient, slope)


def small(kind, **settings):
    corpus = text()
    skip_gram = PointEmbedding(vector_dim=6, steps=5, batch_size=64).fit(corpus, progress=False)
    return kind(skip_gram, steps=20, passes=1e-6, batch_size=64, **settings).fit(corpus, progress=False)


def test_use_of_codes_sums_to_one_and_perplexity_counts_them():
    system = small(Codebook, codes=7, code_dim=3)
    assert math.isclose(system.usage_.sum(), 1, rel_tol=1e-9) and system.usage_.shape == (7,)
    assert 1 <= system.perplexity_ <= 7
    system.chosen = torch.tensor([5.0, 5, 0, 5, 0, 5, 0])
    assert math.isclose(system.perplexity_, 4, rel_tol=1e-9)


# --- features -----------------------------------------------------------------------------------------------------


def test_at_most_k_features_are_active_and_they_are_the_strongest(generator):
    system = small(SparseFeatures, features=10, active=3)
    vectors = torch.nn.functional.normalize(torch.randn(50, 6, generator=generator), dim=1)
    found = system.activations(vectors).detach()
    every = torch.relu(system.encode(vectors - system.centre)).detach()
    positive = (every > 0).sum(1)
    assert torch.equal((found > 0).sum(1), positive.clamp_max(3)) and (positive > 3).any()
    assert torch.equal(found.sort(1).values[:, -3:], every.sort(1).values[:, -3:])
    assert torch.equal(found[found > 0], every[found > 0])


def test_columns_of_the_dictionary_have_length_one_and_use_is_a_share():
    system = small(SparseFeatures, features=10, active=3)
    columns = system.reconstruct(torch.eye(10)) - system.centre
    assert torch.allclose(columns.norm(dim=1), torch.ones(10), atol=1e-6)
    assert (system.usage_ >= 0).all() and (system.usage_ <= 1).all() and 1 <= system.usage_.sum() <= 3 + 1e-9


# --- merging, padding ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 0.5, 1.0])
def test_no_cluster_is_left_below_the_share_and_none_is_torn(share, seed):
    rng = np.random.default_rng(seed)
    labels, vectors = rng.geometric(0.3, size=200) * 3, rng.standard_normal((200, 4))
    merged = merge_rare(labels, vectors, share)
    sizes = np.bincount(merged)
    assert sizes.min() >= share * 200 and len(sizes) >= 1
    assert all(len(np.unique(merged[labels == label])) == 1 for label in labels)
    assert share > 0 or len(sizes) == len(np.unique(labels))


def test_a_rare_cluster_joins_the_nearest():
    labels, vectors = np.array([0] * 5 + [1] * 5 + [2]), np.array([[0.0]] * 5 + [[10.0]] * 5 + [[9.0]])
    assert merge_rare(labels, vectors, 0.2).tolist() == [0] * 5 + [1] * 6


def test_words_in_rows_are_those_of_each_occurrence():
    around = Around(4, np.array([0, 0, 2, 2, 2]), np.array([5, 6, 7, 5, 8]), np.ones(5))
    ids, mask = padded(around)
    assert mask.tolist() == [[True, True, False], [False] * 3, [True] * 3, [False] * 3]
    assert [row[m].tolist() for row, m in zip(ids, mask, strict=True)] == [[5, 6], [], [7, 5, 8], []]
