"""p(c∣z,w): how a place in a word's density explains the words around it."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn
from torch.autograd.function import once_differentiable

from labkit.networks.mlp import ContextMLP

CHUNK = 4_000_000  # numbers in a block of logits


class LogPartition(torch.autograd.Function):
    """log Σ_i exp(U h + b)_i: (..., H), (K, H), (K,) -> (...), nats.

    The same as `(h @ U.T + b).logsumexp(-1)`, but the (..., K) numbers, by far the most of a training step, are
    written once and worked on in place: half the time.
    """

    @staticmethod
    def forward(ctx, hidden: Tensor, vectors: Tensor, bias: Tensor) -> Tensor:
        flat = hidden.reshape(-1, hidden.shape[-1])
        weights = torch.addmm(bias, flat, vectors.T)
        top = weights.amax(-1, keepdim=True)
        total = weights.sub_(top).exp_().sum(-1, keepdim=True)
        ctx.save_for_backward(flat, vectors, weights, total)
        return (top + total.log()).reshape(hidden.shape[:-1])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        flat, vectors, weights, total = ctx.saved_tensors
        softmax = weights * (grad.reshape(-1, 1) / total)
        of_hidden = (softmax @ vectors).reshape(*grad.shape, -1)
        if not any(ctx.needs_input_grad[1:]):
            return of_hidden, None, None
        return of_hidden, softmax.T @ flat, softmax.sum(0)


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
            bias = self.bias(drawn).squeeze(-1) - self._log_expected(drawn)
            log_sampled = LogPartition.apply(hidden, self.vectors(drawn), bias)[..., None]
            log_total = torch.logaddexp(log_sampled, score - self._log_expected(target))
        else:
            everything = torch.arange(len(self), device=hidden.device)
            bias = self.bias(everything).squeeze(-1)
            log_total = LogPartition.apply(hidden, self.vectors(everything), bias)[..., None]
        return ((score - log_total) * mask).sum(-1)

    def _log_expected(self, ids: Tensor) -> Tensor:
        """log of how often these words are expected among the negatives and the target."""
        return math.log(self.negatives + 1) + self.log_noise[ids]

    def scores(self, hidden: Float[Tensor, "N H"], words: Int[Tensor, " W"]) -> Float[Tensor, "N W"]:
        """U h + b for some words: log p(c∣h) but for the normaliser. Gradients reach h, not U and b."""
        vectors, bias = self.vectors.weight.detach(), self.bias.weight.detach()
        return torch.addmm(bias[words].squeeze(-1), hidden, vectors[words].T)

    def log_total(self, hidden: Float[Tensor, "N H"]) -> Float[Tensor, " N"]:
        """log Σ_c exp(U h + b)_c over all V words, nats. Gradients reach h, not U and b."""
        rows = max(1, CHUNK // len(self))
        vectors, bias = self.vectors.weight.detach(), self.bias.weight.detach().squeeze(-1)
        return torch.cat([LogPartition.apply(h, vectors, bias) for h in hidden.split(rows)])

    def log_prob(self, hidden: Float[Tensor, "N H"], words: Int[Tensor, " W"]) -> Float[Tensor, "N W"]:
        """log p(c∣h) in nats of the words asked for, with the full softmax over all V."""
        return self.scores(hidden, words) - self.log_total(hidden)[:, None]


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
        batch = torch.broadcast_shapes(z.shape[:-1], mean.shape[:-1])
        return torch.cat([z.expand(*batch, -1), mean.expand(*batch, -1)], -1) @ self.basis.T

    def forward(self, z: Float[Tensor, "*points k"], word: Float[Tensor, "*words E"]) -> Tensor:
        """h, (*batch, H)."""
        return self.network(self.embed(z, word))
