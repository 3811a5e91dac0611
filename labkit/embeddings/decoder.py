"""p(c∣z,w): how a place in a word's density explains the words around it."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from labkit.networks.mlp import ContextMLP

CHUNK = 16_384_000  # numbers in a block of logits


class SoftmaxOutput(nn.Module):
    """p(c∣h) = softmax(U h + b)_c over the V words of the vocabulary.

    Training uses a sampled normaliser: K negatives n_i ~ Q and the target itself, each divided by the number
    of times it is expected among K + 1 draws (the log-Q correction),

        log p(c∣h) ≈ ℓ_c − log( e^{ℓ_c} / ((K+1) Q(c)) + Σ_i e^{ℓ_{n_i}} / ((K+1) Q(n_i)) )      (nats),

    with ℓ = U h + b and Q ∝ count^¾. With the target in the sum, log p never exceeds log (K+1) Q(c); the price is
    a bias that goes to 0 as K grows. `log_prob` is exact, and is what every reported figure uses.

    Arguments:
        counts: how often each word occurs in contexts, (V,); the biases start as log frequencies.
        width: of h.
        negatives: K; 0 for the exact normaliser in training too.

    References:
        Bengio & Senécal, Adaptive importance sampling to accelerate training of a neural probabilistic language
        model (2008). Mikolov et al. 2013 for count^¾.
    """

    def __init__(self, counts: Tensor, width: int, negatives: int = 256):
        super().__init__()
        self.vectors = nn.Embedding(len(counts), width, sparse=True)
        self.bias = nn.Embedding(len(counts), 1, sparse=True)
        nn.init.normal_(self.vectors.weight, std=0.1)
        counts = counts.to(torch.get_default_dtype()) + 0.5
        with torch.no_grad():
            self.bias.weight.copy_((counts / counts.sum()).log()[:, None])
        noise = counts**0.75
        noise = noise / noise.sum()
        self.negatives = negatives if 0 < negatives < len(counts) else 0
        self.register_buffer("log_noise", noise.log(), persistent=False)
        self.register_buffer("noise_cdf", noise.double().cumsum(0), persistent=False)

    def __len__(self) -> int:
        return self.vectors.num_embeddings

    def sampled_log_prob(
        self,
        hidden: Float[Tensor, "S B H"],
        context: Int[Tensor, "B M"],
        mask: Bool[Tensor, "B M"],
        generator: Generator | None = None,
    ) -> Float[Tensor, "S B"]:
        """Σ_j log p(c_j∣h), nats, over the words of each window, with the sampled normaliser."""
        target = context.clamp_min(0)
        score = torch.einsum("sbh,bmh->sbm", hidden, self.vectors(target)) + self.bias(target).squeeze(-1)
        if self.negatives:
            u = torch.rand(self.negatives, generator=generator, device=hidden.device, dtype=torch.float64)
            drawn = torch.searchsorted(self.noise_cdf, u).clamp_max(len(self) - 1)
            log_expected = math.log(self.negatives + 1) + self.log_noise
            logits = hidden @ self.vectors(drawn).T
            logits = logits + (self.bias(drawn).squeeze(-1) - log_expected[drawn])
            log_total = torch.logaddexp(logits.logsumexp(-1, keepdim=True), score - log_expected[target])
        else:
            logits = hidden @ self.vectors.weight.T + self.bias.weight.squeeze(-1)
            log_total = logits.logsumexp(-1, keepdim=True)
        return ((score - log_total) * mask).sum(-1)

    @torch.no_grad()
    def log_prob(self, hidden: Float[Tensor, "N H"], words: Int[Tensor, " W"]) -> Float[Tensor, "N W"]:
        """log p(c∣h) in nats of the words asked for, with the full softmax over all V."""
        score = hidden @ self.vectors.weight[words].T + self.bias.weight[words].squeeze(-1)
        rows = max(1, CHUNK // len(self))
        bias = self.bias.weight.squeeze(-1)
        log_total = [torch.addmm(bias, h, self.vectors.weight.T).logsumexp(-1) for h in hidden.split(rows)]
        return score - torch.cat(log_total)[:, None]


class NonlinearDecoder(nn.Module):
    """h(z, w): a small network of the place z and of the word's own vector v_w.

    The default for few stochastic dimensions: a smooth nonlinear map can lay out many kinds of context in a plane.
    """

    def __init__(self, dim: int, word_dim: int, width: int, hidden: Sequence[int] = (64, 64)):
        super().__init__()
        self.network = ContextMLP(dim, word_dim, tuple(hidden), width)

    def forward(self, z: Float[Tensor, "*points k"], word: Float[Tensor, "*words E"]) -> Tensor:
        """h, (*batch, H)."""
        return self.network(z, word)


class AffineDecoder(nn.Module):
    """h(z, w) = A z + B v_w: log-bilinear, as skip-gram is. A step in z means the same for every word.

    Needs k ≥ 3 to fit what the nonlinear decoder fits in a plane.
    """

    def __init__(self, dim: int, word_dim: int, width: int):
        super().__init__()
        self.of_place, self.of_word = nn.Linear(dim, width), nn.Linear(word_dim, width, bias=False)

    def forward(self, z: Float[Tensor, "*points k"], word: Float[Tensor, "*words E"]) -> Tensor:
        """h, (*batch, H)."""
        return self.of_place(z) + self.of_word(word)


class BasisDecoder(nn.Module):
    """h(e) of the whole embedding e = Q [z ; μ_w], with Q a learned orthonormal basis of R^D.

    For `TruncatedEmbedding`: the decoder sees the D coordinates alone, whichever of them are stochastic. μ_w is read
    linearly off the word's vector.
    """

    def __init__(self, k: int, total: int, word_dim: int, width: int, hidden: Sequence[int] = (64, 64)):
        super().__init__()
        self.rotation = nn.Parameter(torch.zeros(total, total))
        self.mean = nn.Linear(word_dim, total - k) if total > k else None
        self.network = ContextMLP(total, 0, tuple(hidden), width)

    @property
    def basis(self) -> Float[Tensor, "D D"]:
        """Q = exp(A − Aᵀ), orthonormal with determinant 1; the identity at the start."""
        return torch.linalg.matrix_exp(self.rotation - self.rotation.T)

    def embed(self, z: Float[Tensor, "*points k"], word: Float[Tensor, "*words E"]) -> Tensor:
        """e = Q [z ; μ_w], (*batch, D)."""
        if self.mean is None:
            return z @ self.basis.T
        mean = self.mean(word)
        return torch.cat([z, mean.expand(*z.shape[:-1], mean.shape[-1])], -1) @ self.basis.T

    def forward(self, z: Float[Tensor, "*points k"], word: Float[Tensor, "*words E"]) -> Tensor:
        """h, (*batch, H)."""
        return self.network(self.embed(z, word))
