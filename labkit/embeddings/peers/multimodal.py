"""w2gm: each word a mixture of Gaussians, compared by the expected likelihood kernel."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.embeddings.peers.merging import numbered
from labkit.embeddings.peers.noise import Noise
from labkit.embeddings.peers.trained import TrainedPeer
from labkit.text import Vocabulary, WindowBatch
from labkit.text.occurrences import Occurrences

LEAST_VARIANCE, MOST_VARIANCE = 0.02, 5.0


class Word2GM(TrainedPeer):
    """f_w = Σ_i π_wi N(μ_wi, s²_wi I), trained so that words that occur together overlap more than others:

        Σ_j max(0, γ − log E(w, c_j) + log E(w, n_j)),    E(w, c) = ∫ f_w(x) f_c(x) dx

    with a negative n_j ~ count^¾ for each context word. As published: one table for centres and contexts, spherical
    covariances with variances that start at 0.05 and stay within [0.02, 5], γ = 1, 50 dimensions. Not as published:
    lazy Adam in place of Adagrad, and three components where they have two, one of which is often left empty.

    An occurrence has the component that overlaps most with its context,
    argmax_i log π_i + Σ_j log ∫ N(x; μ_i, s_i² I) f_{c_j}(x) dx: at most K senses, the same K for all words.

    Arguments:
        dim: of x.
        components: K.
        margin: γ, nats.
        first_variance: where variances start; means start with length 1.
        context: words on each side by which occurrences are sorted; None for the whole sentence.
        others: see `TrainedPeer`.

    References:
        Athiwaratkul & Wilson, Multimodal word distributions (2017), arXiv 1704.08424, eqs. 2–7.

    Example:
        >>> Word2GM(components=3).get_params()["dim"]
        50
    """

    POSITIVE = (*TrainedPeer.POSITIVE, "margin", "first_variance")

    def __init__(
        self, dim=50, *, components=3, margin=1.0, first_variance=0.05, context=None, window=5, thin_out=1e-4, passes=2,
        steps=1000, batch_size=2048, learning_rate=0.02, seed=0, device="auto",
    ):  # fmt: skip
        super().__init__()
        self._remember(locals())

    @property
    def name(self) -> str:
        """For tables."""
        return f"w2gm, {self.components} components"

    def _build(self, vocabulary: Vocabulary) -> None:
        n_words, k = len(vocabulary), self.components
        self.means = nn.Embedding(n_words, k * self.dim, sparse=True)
        self.log_variances = nn.Embedding(n_words, k, sparse=True)
        self.logits = nn.Embedding(n_words, k, sparse=True)
        bound = math.sqrt(3 / self.dim)  # variance 1/dim
        nn.init.uniform_(self.means.weight, -bound, bound)
        nn.init.constant_(self.log_variances.weight, math.log(self.first_variance))
        nn.init.zeros_(self.logits.weight)
        self.noise = Noise(vocabulary)

    def mixtures(self, words: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log π (..., K), μ (..., K, dim) and s² (..., K) of words (...)."""
        means = self.means(words).unflatten(-1, (self.components, self.dim))
        return self.logits(words).log_softmax(-1), means, self.log_variances(words).exp()

    def loss(self, batch: WindowBatch, generator: torch.Generator, share: float) -> tuple[Tensor, Tensor]:
        """The objective above per context word."""
        with torch.no_grad():
            self.log_variances.weight.clamp_(math.log(LEAST_VARIANCE), math.log(MOST_VARIANCE))
        centre, context, mask = self._tensors(batch)
        drawn = self.noise.like(context, generator)
        m = context.shape[1]
        mixtures = self.mixtures(torch.cat([centre[:, None], context, drawn], 1))  # one look-up, one sparse gradient
        own, *both = (tuple(field[:, part] for field in mixtures) for part in (0, slice(1, m + 1), slice(m + 1, None)))
        near, far = (overlaps(own, others).logsumexp(1) for others in both)
        loss = ((self.margin - near + far).clamp_min(0) * mask).sum() / mask.sum()
        return loss, loss.detach()

    @torch.no_grad()
    def senses_in_context(self, word: str, occurrences: Occurrences) -> tuple[np.ndarray, np.ndarray]:
        """μ_wi, (K, dim), and the probability of each component, ∝ π_i Π_j ∫ N(x; μ_i, s_i² I) f_{c_j}(x) dx, (n, K).

        Raises:
            NotFittedError: before `fit`.
            KeyError: a word that never occurs in the text.
        """
        word_mixture = self.mixtures(torch.tensor([self._known(word)]))
        log_weight, means, _ = word_mixture
        parts = [torch.zeros(0, self.components)]
        for context, mask in self._contexts(occurrences, self.context):
            ids, place = torch.unique(context, return_inverse=True)
            each = overlaps(word_mixture, self.mixtures(ids[None]))[0].T - log_weight  # (ids, K)
            parts.append((log_weight + (each[place] * mask[..., None]).sum(1)).softmax(-1))
        return means[0].double().numpy(), torch.cat(parts).double().numpy()

    def assign(self, word: str, occurrences: Occurrences, n_senses: int | None = None) -> np.ndarray:
        """The most probable component of each occurrence; of K, those that occur."""
        return numbered(self.senses_in_context(word, occurrences)[1].argmax(1))


def overlaps(words: tuple, others: tuple) -> Float[Tensor, "B K M"]:
    """log π_i ∫ N(x; μ_i, s_i² I) g(x) dx of the components of B mixtures, each with M mixtures g of its own.

    Arguments:
        words: log weights (B, K), means (B, K, d) and variances (B, K).
        others: log weights (B, M, L), means (B, M, L, d) and variances (B, M, L).
    """
    weights, means, variances = others
    log_kernel = log_kernels(*words[1:], means.flatten(1, 2), variances.flatten(1, 2)).unflatten(-1, weights.shape[1:])
    return words[0][..., None] + (log_kernel + weights[:, None]).logsumexp(-1)


def log_kernels(
    means: Float[Tensor, "*batch K d"], variance: Float[Tensor, "*batch K"],
    others: Float[Tensor, "*batch L d"], variances: Float[Tensor, "*batch L"],
) -> Float[Tensor, "*batch K L"]:  # fmt: skip
    """log ∫ N(x; μ_i, s_i² I) N(x; ν_j, t_j² I) dx = log N(μ_i; ν_j, (s_i² + t_j²) I), nats, of all pairs."""
    total = variance[..., :, None] + variances[..., None, :]
    squares = means.square().sum(-1)[..., :, None] + others.square().sum(-1)[..., None, :]
    distance = (squares - 2 * means @ others.mT).clamp_min(0)  # no (…, K, L, d) numbers
    return -0.5 * (distance / total + means.shape[-1] * torch.log(2 * math.pi * total))


def log_expected_likelihood(first: tuple, second: tuple) -> Tensor:
    """log ∫ f(x) g(x) dx = log Σ_ij π_i ρ_j ∫ N(x; μ_i, s_i² I) N(x; ν_j, t_j² I) dx, nats.

    Arguments:
        first, second: log weights (*batch, K), means (*batch, K, d) and variances (*batch, K) of a mixture.

    References:
        Jebara, Kondor & Howard, Probability product kernels (2004).

    Example:
        >>> one = torch.zeros(1), torch.zeros(1, 1), torch.ones(1)
        >>> log_expected_likelihood(one, one).exp()  # 1/√(4π)
        tensor(0.2821)
    """
    log_weights = first[0][..., :, None] + second[0][..., None, :]
    return (log_weights + log_kernels(*first[1:], *second[1:])).flatten(-2).logsumexp(-1)
