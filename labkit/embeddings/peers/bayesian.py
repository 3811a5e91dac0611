"""Bayesian skip-gram: a Gaussian for each word, and one for each occurrence."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labkit.embeddings.peers.means import by_silhouette
from labkit.embeddings.peers.noise import Noise
from labkit.embeddings.peers.trained import TrainedPeer
from labkit.text import Vocabulary, WindowBatch
from labkit.text.occurrences import Occurrences

FIRST_LOG_SCALE = -2.5  # the mean of the published start


class BayesianSkipGram(TrainedPeer):
    """z ~ p(z∣w) = N(μ_w, σ_w² I); the context moves it to q(z∣w,c) = N(m, s² I); what is minimised is

        Σ_j max(0, γ + KL(q ‖ p(z∣c_j)) − KL(q ‖ p(z∣n_j))) + KL(q ‖ p(z∣w))        (nats, a window)

    with a negative n_j ~ count^¾ for each context word: the hinge objective as published, not the bound it stands
    for (of which the lab's own version is `GaussianEmbedding`). The priors of context words score them. The encoder is

        h = mean_j relu(A r_{c_j} + B r_w),   m = M h + a,   log s = v·h + b.

    As published: one scale a Gaussian, Adam at 0.0075, 100 dimensions, γ = 5 and one negative a context word (values of
    the authors' program). Not as published: the rate rises and falls, log s starts where log σ does, so that the KL
    starts near 0, and h is a mean where they have a sum, whose length is mostly the number of context words.

    An occurrence is the mean m, scaled to length 1; senses, which the paper does not count, are k-means clusters of
    these vectors, as many as have the highest silhouette, and two at the least.

    Arguments:
        dim: of z.
        word_dim: of r, the encoder's own vectors, and of h.
        margin: γ, nats.
        others: see `TrainedPeer`.

    References:
        Bražinskas, Havrylov & Titov, Embedding words as distributions with a Bayesian skip-gram model (2018),
        arXiv 1711.11027.

    Example:
        >>> BayesianSkipGram(dim=50).get_params()["margin"]
        5.0
    """

    POSITIVE = (*TrainedPeer.POSITIVE, "margin")

    def __init__(
        self, dim=100, *, word_dim=100, margin=5.0, window=5, thin_out=1e-4, passes=2, steps=1000, batch_size=1024,
        learning_rate=0.0075, seed=0, device="auto",
    ):  # fmt: skip
        super().__init__()
        self._remember(locals())

    @property
    def name(self) -> str:
        """For tables."""
        return "Bayesian skip-gram"

    def _build(self, vocabulary: Vocabulary) -> None:
        n_words, width = len(vocabulary), self.word_dim
        self.means = nn.Embedding(n_words, self.dim, sparse=True)
        self.log_scales = nn.Embedding(n_words, 1, sparse=True)
        self.vectors = nn.Embedding(n_words, width, sparse=True)
        nn.init.uniform_(self.means.weight, -0.05, 0.05)
        nn.init.constant_(self.log_scales.weight, FIRST_LOG_SCALE)
        nn.init.uniform_(self.vectors.weight, -0.05, 0.05)
        self.of_context, self.of_word = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.to_mean, self.to_log_scale = nn.Linear(width, self.dim), nn.Linear(width, 1)
        with torch.no_grad():
            self.to_log_scale.weight.zero_()
            self.to_log_scale.bias.fill_(FIRST_LOG_SCALE)  # the KL starts near 0
        self.noise = Noise(vocabulary)

    def posterior(self, centre: Tensor, context: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """m (B, dim) and log s (B, 1) of q(z∣w,c), for centres (B,) and contexts (B, M)."""
        vectors = self.vectors(torch.cat([centre[:, None], context], 1))
        each = self.of_context(vectors[:, 1:]) + self.of_word(vectors[:, :1])
        hidden = (torch.relu(each) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp_min(1)
        return self.to_mean(hidden), self.to_log_scale(hidden)

    def loss(self, batch: WindowBatch, generator: torch.Generator, share: float) -> tuple[Tensor, Tensor]:
        """The objective above per context word."""
        centre, context, mask = self._tensors(batch)
        drawn = self.noise.like(context, generator)
        mean, log_scale = self.posterior(centre, context, mask)
        words = torch.cat([centre[:, None], context, drawn], 1)  # one look-up, one sparse gradient
        kl = gaussian_kl(mean[:, None], log_scale[:, None], self.means(words), self.log_scales(words))
        own, near, far = kl.split([1, context.shape[1], context.shape[1]], 1)
        hinge = (self.margin + near - far).clamp_min(0) * mask
        loss = (hinge.sum() + own.sum()) / mask.sum()
        return loss, loss.detach()

    @torch.no_grad()
    def transform(self, word: str, occurrences: Occurrences) -> np.ndarray:
        """m of q(z∣w,c) from `window` words on each side, scaled to length 1, (n, dim).

        Raises:
            NotFittedError: before `fit`.
            KeyError: a word that never occurs in the text.
        """
        id = torch.tensor(self._known(word))
        parts = [
            self.posterior(id.expand(len(context)), context, mask)[0]
            for context, mask in self._contexts(occurrences, self.window)
        ]
        means = torch.cat([torch.zeros(0, self.dim), *parts])
        return F.normalize(means, dim=-1).double().numpy()

    def assign(self, word: str, occurrences: Occurrences, n_senses: int | None = None) -> np.ndarray:
        """Clusters of the posterior means."""
        return by_silhouette(self.transform(word, occurrences), self.seed)


def gaussian_kl(
    mean: Float[Tensor, "*a d"], log_scale: Float[Tensor, "*a 1"], other: Float[Tensor, "*b d"],
    other_log_scale: Float[Tensor, "*b 1"],
) -> Tensor:  # fmt: skip
    """KL(N(m, s² I) ‖ N(μ, σ² I)) = ½ (‖m − μ‖²/σ² + d (s²/σ² − 1 − log s²/σ²)), nats, over the broadcast batch.

    Example:
        >>> gaussian_kl(torch.ones(2), torch.zeros(1), torch.zeros(2), torch.zeros(1))
        tensor(1.)
    """
    ratio = 2 * (log_scale - other_log_scale).squeeze(-1)
    distance = (mean - other).square().sum(-1) * torch.exp(-2 * other_log_scale.squeeze(-1))
    return 0.5 * (distance + mean.shape[-1] * (ratio.exp() - 1 - ratio))
