"""The parts of an embedding: the sampled softmax, the bound, the decoders, the encoder, a first start."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal

from labkit.embeddings.bound import importance_weighted_bound
from labkit.embeddings.decoder import AffineDecoder, BasisDecoder, LogPartition, NonlinearDecoder, SoftmaxOutput
from labkit.embeddings.encoder import ContextEncoder
from labkit.embeddings.warm import spectral_vectors
from labkit.text import Corpus, Windows

V, H = 40, 6


def output(negatives=0, seed=0) -> SoftmaxOutput:
    counts = torch.arange(1, V + 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = SoftmaxOutput(counts, H, negatives)
        torch.nn.init.normal_(made.vectors.weight)
    return made


def windows(seed=0, n=7, m=5):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(3, n, H, generator=generator)
    context = torch.randint(V, (n, m), generator=generator)
    mask = torch.rand(n, m, generator=generator) < 0.8
    return hidden, torch.where(mask, context, -1), mask


def exact(layer, hidden, context, mask):
    log_prob = layer.log_prob(hidden.reshape(-1, H), torch.arange(V)).reshape(*hidden.shape[:2], V)
    picked = log_prob.gather(-1, context.clamp_min(0).expand(len(hidden), -1, -1))
    return (picked * mask).sum(-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_partition_is_a_logsumexp(dtype):
    generator = torch.Generator().manual_seed(0)
    hidden, vectors, bias = (torch.randn(s, generator=generator, dtype=dtype) for s in ((2, 3, H), (V, H), (V,)))
    for scale in (1, 100):  # far above what exp can hold in float32
        value = LogPartition.apply(scale * hidden, vectors, bias)
        assert torch.allclose(value, (scale * hidden @ vectors.T + bias).logsumexp(-1))


def test_the_gradient_of_log_partition():
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 3, H), (9, H), (9,))
    inputs = [torch.randn(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes]
    assert torch.autograd.gradcheck(LogPartition.apply, inputs)
    only_hidden = [inputs[0], *(x.detach() for x in inputs[1:])]
    assert torch.autograd.gradcheck(LogPartition.apply, only_hidden)


def test_log_prob_is_a_softmax():
    layer = output()
    hidden = torch.randn(4, H, generator=torch.Generator().manual_seed(1))
    expected = (hidden @ layer.vectors.weight.T + layer.bias.weight.squeeze(-1)).log_softmax(-1)
    words = torch.tensor([3, 0, 3])
    assert torch.allclose(layer.log_prob(hidden, words), expected[:, words], atol=1e-5)


def test_log_prob_in_blocks(monkeypatch):
    layer, hidden = output(), torch.randn(11, H, generator=torch.Generator().manual_seed(1))
    whole = layer.log_total(hidden)
    monkeypatch.setattr("labkit.embeddings.decoder.CHUNK", 3 * V)
    assert torch.allclose(layer.log_total(hidden), whole, atol=1e-6)


def test_fresh_biases_are_log_frequencies():
    layer = output()
    layer.vectors.weight.data.zero_()
    frequency = (torch.arange(1, V + 1) + 0.5) / (torch.arange(1, V + 1) + 0.5).sum()
    assert torch.allclose(layer.log_prob(torch.ones(1, H), torch.arange(V))[0].exp(), frequency, atol=1e-6)


@pytest.mark.parametrize("negatives", [0, V, V + 5])
def test_without_sampling_training_sees_the_exact_softmax(negatives):
    layer = output(negatives)
    sampled = layer.sampled_log_prob(*windows())
    assert torch.allclose(sampled, exact(layer, *windows()), atol=1e-5)


@torch.no_grad()
def test_the_log_q_corrected_normaliser_converges():
    """The error of the sampled log-likelihood falls as negatives grow: about as K^(−1/2), its bias as 1/K."""
    layer, parts = output(), windows()
    truth = exact(layer, *parts)
    spread, bias = {}, {}
    for negatives in (4, 64, 1024):
        layer.negatives = negatives
        errors = torch.stack([
            layer.sampled_log_prob(*parts, torch.Generator().manual_seed(seed)) - truth for seed in range(60)
        ])  # fmt: skip
        spread[negatives], bias[negatives] = errors.square().mean().sqrt(), errors.mean().abs()
    assert spread[4] > 2 * spread[64] > 4 * spread[1024]
    assert bias[4] > 3 * bias[64] and bias[1024] < 0.05


@torch.no_grad()
def test_the_sampled_partition_is_unbiased_given_the_target():
    """E[e^ℓc/((K+1)Q(c)) + Σ e^ℓn/((K+1)Q(n))] = K/(K+1) Σ e^ℓ + e^ℓc/((K+1)Q(c)): the estimator as documented."""
    layer, K = output(negatives=8), 8
    hidden, target = torch.randn(1, 1, H, generator=torch.Generator().manual_seed(2)), torch.tensor([[5]])
    mask = torch.ones(1, 1, dtype=torch.bool)
    scores = layer.scores(hidden[0], torch.arange(V))[0].double()
    estimates = torch.tensor([
        float((scores[5] - layer.sampled_log_prob(hidden, target, mask, torch.Generator().manual_seed(seed))).exp())
        for seed in range(2000)
    ], dtype=torch.float64)  # fmt: skip
    own = scores[5].exp() / ((K + 1) * layer.log_noise[5].double().exp())
    expected = scores.exp().sum() * K / (K + 1) + own
    assert abs(estimates.mean() - expected) < 4 * estimates.std() / math.sqrt(len(estimates))


def test_the_sampled_log_prob_never_exceeds_its_ceiling():
    layer = output(negatives=4)
    hidden, context, mask = windows()
    ceiling = (math.log(5) + layer.log_noise[context.clamp_min(0)]).mul(mask).sum(-1)
    assert (layer.sampled_log_prob(50 * hidden, context, mask) <= ceiling + 1e-4).all()


def test_negatives_follow_the_noise_distribution():
    layer = output(negatives=8)
    counts = torch.arange(1, V + 1) + 0.5
    assert torch.allclose(layer.log_noise.exp(), counts**0.75 / (counts**0.75).sum())
    drawn = torch.searchsorted(layer.noise_cdf, torch.rand(40_000, generator=torch.Generator().manual_seed(0),
                                                           dtype=torch.float64))  # fmt: skip
    share = drawn.bincount(minlength=V) / 40_000
    error = (share * (1 - share) / 40_000).sqrt()
    assert ((share - layer.log_noise.exp()).abs() < 5 * error).all()


def test_padding_says_nothing():
    layer = output(negatives=8)
    hidden, context, mask = windows()
    more = torch.cat([context, torch.full((7, 3), -1)], 1), torch.cat([mask, torch.zeros(7, 3, dtype=torch.bool)], 1)
    values = [layer.sampled_log_prob(hidden, *c, torch.Generator().manual_seed(0)) for c in ((context, mask), more)]
    assert torch.allclose(values[0], values[1], rtol=1e-5)


# --- the bound ----------------------------------------------------------------------------------------------------


def conjugate(samples, n=4000, seed=0, proposal=None):
    """z ~ N(0, 1), x∣z ~ N(z, 1), x = 1.5: log p(x) = log N(1.5; 0, 2), posterior N(0.75, 1/2)."""
    generator = torch.Generator().manual_seed(seed)
    proposal = proposal or Normal(0.0, 1.0)
    z = proposal.mean + proposal.stddev * torch.randn(samples, n, generator=generator)
    return importance_weighted_bound(
        Normal(z, 1.0).log_prob(torch.tensor(1.5)), Normal(0.0, 1.0).log_prob(z), proposal.log_prob(z)
    )


EVIDENCE = float(Normal(0.0, math.sqrt(2)).log_prob(torch.tensor(1.5)))


def test_the_bound_is_tight_for_the_exact_posterior():
    for samples in (1, 5):
        bound = conjugate(samples, proposal=Normal(0.75, math.sqrt(0.5)))
        assert torch.allclose(bound, torch.full_like(bound, EVIDENCE), atol=1e-5)


def test_the_bound_rises_to_the_evidence_with_samples():
    means, errors = [], []
    for samples in (1, 3, 10, 100, 1000):
        bound = conjugate(samples, n=200_000 // samples)
        means.append(float(bound.mean()))
        errors.append(float(bound.std()) / math.sqrt(len(bound)))
    assert all(a < b for a, b in zip(means, means[1:]))
    assert means[-1] == pytest.approx(EVIDENCE, abs=0.01)
    assert all(mean <= EVIDENCE + 4 * error for mean, error in zip(means, errors))


def test_one_sample_gives_the_evidence_bound():
    """log p(x) − KL(q‖p(z∣x)) for q = N(0, 1)."""
    gap = torch.distributions.kl_divergence(Normal(0.0, 1.0), Normal(0.75, math.sqrt(0.5)))
    assert float(conjugate(1, n=200_000).mean()) == pytest.approx(EVIDENCE - float(gap), abs=0.02)


def test_a_weight_of_the_kl_term_below_one():
    log_likelihood, log_prior, log_proposal = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0))
    one = importance_weighted_bound(log_likelihood[:1], log_prior[:1], log_proposal[:1], 0.2)
    assert torch.allclose(one, log_likelihood[0] + 0.2 * (log_prior[0] - log_proposal[0]))
    none = importance_weighted_bound(log_likelihood, log_prior, log_proposal, 0.0)
    assert torch.allclose(none, log_likelihood.logsumexp(0) - math.log(2))


# --- decoders and encoder -----------------------------------------------------------------------------------------

DECODERS = {
    "nonlinear": lambda: NonlinearDecoder(2, 4, H, (8,)),
    "affine": lambda: AffineDecoder(2, 4, H),
    "basis": lambda: BasisDecoder(2, 5, 4, H, (8,)),
    "basis of k = D": lambda: BasisDecoder(2, 2, 4, H, (8,)),
}


@pytest.mark.parametrize("name", DECODERS)
def test_one_word_is_shared_by_many_places(name):
    decoder = DECODERS[name]()
    z, word = torch.randn(7, 3, 2), torch.randn(3, 4)
    assert decoder(z, word).shape == (7, 3, H)
    assert torch.allclose(decoder(z, word)[:, 1], decoder(z[:, 1], word[1]), atol=1e-6)


@torch.no_grad()
def test_a_basis_keeps_lengths():
    decoder = BasisDecoder(2, 5, 4, H)
    torch.nn.init.normal_(decoder.rotation, std=2.0)
    z, word = torch.randn(7, 2), torch.randn(4)
    length = z.square().sum(-1) + decoder.mean(word).square().sum()
    assert torch.allclose(decoder.embed(z, word).square().sum(-1), length, rtol=1e-5)
    assert torch.allclose(decoder.basis.T @ decoder.basis, torch.eye(5), atol=1e-6)
    assert float(torch.linalg.det(decoder.basis)) == pytest.approx(1, abs=1e-5)


def test_the_encoder_looks_at_the_mean_of_the_words_that_are_there():
    encoder = ContextEncoder(V, 2, 4, H)
    word = torch.randn(1, 4).expand(3, -1)
    context = torch.tensor([[1, 2, -1], [2, 1, -1], [1, 2, 7]])
    mask = context >= 0
    mask[2, 2] = False  # padding may hold anything
    mean = encoder(context, mask, word).mean
    assert torch.allclose(mean[0], mean[1], atol=1e-6) and torch.allclose(mean[0], mean[2], atol=1e-6)


def test_the_encoder_takes_windows_without_words():
    encoder = ContextEncoder(V, 2, 4, H)
    context = torch.tensor([[1, -1], [-1, -1], [-1, -1]])
    proposal = encoder(context, context >= 0, torch.zeros(3, 4))
    assert isinstance(proposal, Independent) and proposal.mean.isfinite().all()
    assert torch.allclose(proposal.mean[1], proposal.mean[2])


# --- a first start ------------------------------------------------------------------------------------------------


def test_spectral_vectors_put_company_together():
    texts = ["river water boat fish", "money loan cheque interest"] * 20
    texts = [" ".join(np.random.default_rng(i).permutation(t.split())) for i, t in enumerate(texts)]
    corpus = Corpus.from_sentences(texts, min_count=1)
    vectors = spectral_vectors(Windows(corpus, subsample=None, batch_size=16), 4)
    assert vectors.shape == (8, 4) and vectors.std() == pytest.approx(1)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    river, water, money = (unit[corpus.vocabulary[w]] for w in ("river", "water", "money"))
    assert river @ water > 0.3 > river @ money


def test_spectral_vectors_of_words_never_seen_and_of_too_few_words():
    whole = Corpus.from_sentences(["river bank", "loan money"], min_count=1)
    part = Corpus.from_sentences(["river bank"] * 3, vocabulary=whole.vocabulary, min_count=1)
    vectors = spectral_vectors(Windows(part, subsample=None), 8)
    assert vectors.shape == (4, 8) and np.isfinite(vectors).all()
    assert (vectors[:, 3:].std(0) > 0).all()  # no coordinate starts dead
