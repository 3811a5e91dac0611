"""AdaGram: skip-gram with as many vectors a word as it needs."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from labkit.embeddings.decoder import SoftmaxOutput
from labkit.embeddings.peers.merging import check_whole, numbered
from labkit.embeddings.peers.sticks import expected_log_weights, mean_weights
from labkit.embeddings.peers.trained import TrainedPeer
from labkit.text import Vocabulary, WindowBatch
from labkit.text.occurrences import Occurrences

SETTLING = 20  # windows of a word that move its counts by less than their share


class AdaGram(TrainedPeer):
    """Each word has up to T vectors; a Dirichlet process says how many it uses.

        β_wk ~ Beta(1, α),   π_wk = β_wk Π_{r<k} (1 − β_wr),   sense i ~ π_w,
        p(c∣w, i) = Π_j softmax(U v_wi + b)_{c_j}

    Variational EM, window by window: γ_i ∝ exp(E log π_wi + Σ_j log p(c_j∣w, i)) is the probability of each sense;
    vectors climb Σ_i γ_i Σ_j log p(c_j∣w, i); the expected number of occurrences of each sense, which holds q(β), moves
    to n_wi ← (1 − λ) n_wi + λ n_w γ_i. As published: this, α = 0.1, λ falling linearly from 0.025. Not as published:
    a sampled softmax for the hierarchical one, lazy Adam for the vectors, T = 5 for 30, and the start, which gives each
    sense half as much as the one before, where theirs gives all to the first; λ is larger for a word's first windows,
    so that rare words leave the start too.

    The number of senses of a word is found: those with E π_wi of at least `least_weight`.

    Arguments:
        vector_dim: H, width of the vectors.
        most_senses: T.
        alpha: α; the smaller, the fewer senses.
        least_weight: below it a sense is none.
        count_rate: λ at the start.
        negatives: of the sampled softmax.
        context: words on each side by which occurrences are sorted; None for the whole sentence.
        others: see `TrainedPeer`.

    References:
        Bartunov, Kondrashkin, Osokin & Vetrov, Breaking sticks and ambiguities with adaptive skip-gram (2016),
        arXiv 1502.07257, eqs. 5–12.

    Example:
        >>> AdaGram(alpha=0.15).get_params()["most_senses"]
        5
    """

    POSITIVE = (*TrainedPeer.POSITIVE, "alpha", "least_weight", "count_rate")

    def __init__(
        self, vector_dim=100, *, most_senses=5, alpha=0.1, least_weight=0.05, count_rate=0.025, negatives=256,
        context=None, window=5, thin_out=1e-4, passes=2, steps=1000, batch_size=1024, learning_rate=0.005, seed=0,
        device="auto",
    ):  # fmt: skip
        super().__init__()
        self._remember(locals())

    @property
    def name(self) -> str:
        """For tables."""
        return "AdaGram"

    def _check(self) -> None:
        super()._check()
        check_whole(self, most_senses=2)

    def _build(self, vocabulary: Vocabulary) -> None:
        n_words, t = len(vocabulary), self.most_senses
        self.vectors = nn.Embedding(n_words, t * self.vector_dim, sparse=True)
        nn.init.normal_(self.vectors.weight, std=0.3)
        self.output = SoftmaxOutput(torch.as_tensor(vocabulary.counts), self.vector_dim, self.negatives)
        total = torch.as_tensor(vocabulary.counts, dtype=torch.float32)
        self.register_buffer("total", total)  # n_w
        first = 0.5 ** torch.arange(t)
        self.register_buffer("counts", total[:, None] * first / first.sum())  # n_wk
        self.register_buffer("seen", torch.zeros(n_words))  # windows

    def senses(self, words: Int[Tensor, " B"]) -> Float[Tensor, "T B H"]:
        """The vectors of words."""
        return self.vectors(words).unflatten(-1, (self.most_senses, self.vector_dim)).transpose(0, 1)

    def loss(self, batch: WindowBatch, generator: torch.Generator, share: float) -> tuple[Tensor, Tensor]:
        """−log Σ_i exp(E log π_wi + log p(c∣w, i)) per context word: its gradient is that of the M step."""
        centre, context, mask = self._tensors(batch)
        log_likelihood = self.output.sampled_log_prob(self.senses(centre), context, mask, generator)  # (T, B)
        joint = log_likelihood.T + expected_log_weights(self.counts[centre], self.alpha)
        if torch.is_grad_enabled():
            self._count(centre, joint.detach().softmax(-1), self.count_rate * (1 - share))
        loss = -joint.logsumexp(-1).sum() / mask.sum()
        return loss, loss.detach()

    @torch.no_grad()
    def _count(self, centre: Tensor, gamma: Tensor, rate: float) -> None:
        """Move the counts of the words of a batch; m windows of a word count as m steps towards their mean γ."""
        words, place, m = torch.unique(centre, return_inverse=True, return_counts=True)
        mean = gamma.new_zeros(len(words), self.most_senses).index_add_(0, place, gamma) / m[:, None]
        each = (1 / (SETTLING + self.seen[words])).clamp_min(rate)
        step = (1 - (1 - each) ** m)[:, None]
        self.seen[words] += m
        self.counts[words] = (1 - step) * self.counts[words] + step * self.total[words][:, None] * mean

    def weights(self, word: str) -> np.ndarray:
        """E π of the word's senses, (T,), with those that are none; they sum to 1.

        Raises:
            NotFittedError: before `fit`.
            KeyError: a word that never occurs in the text.
        """
        id = self._known(word)  # first, so that an unfitted system says that it is
        return mean_weights(self.counts[id].double(), self.alpha).numpy()

    def n_senses(self, word: str) -> int:
        """How many senses a word has: those with E π of at least `least_weight`, one at the least."""
        return max(1, int((self.weights(word) >= self.least_weight).sum()))

    @torch.no_grad()
    def senses_in_context(self, word: str, occurrences: Occurrences) -> tuple[np.ndarray, np.ndarray]:
        """The vectors of the senses that the word has, (K, H), and γ of each occurrence among them, (n, K).

        Raises:
            NotFittedError, KeyError: as `weights`.
        """
        weights = self.weights(word)
        kept = torch.as_tensor(weights >= min(self.least_weight, weights.max()))
        id = torch.tensor(self._known(word))
        vectors = self.senses(id[None])[:, 0][kept]
        prior = expected_log_weights(self.counts[id], self.alpha)[kept]
        parts = [torch.zeros(0, len(vectors))]
        for context, mask in self._contexts(occurrences, self.context):
            ids, place = torch.unique(context, return_inverse=True)
            scores = self.output.log_prob(vectors, ids).T  # (ids, K)
            parts.append(((scores[place] * mask[..., None]).sum(1) + prior).softmax(-1))
        return vectors.double().numpy(), torch.cat(parts).double().numpy()

    def assign(self, word: str, occurrences: Occurrences, n_senses: int | None = None) -> np.ndarray:
        """The most probable sense of each occurrence."""
        return numbered(self.senses_in_context(word, occurrences)[1].argmax(1))
