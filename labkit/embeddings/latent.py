"""Embeddings with a stochastic place z for every occurrence of a word; the classes differ in the prior p(z∣w)."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from labkit.density import Estimate, draw, overlap
from labkit.embeddings.base import Embedding
from labkit.embeddings.bound import importance_weighted_bound
from labkit.embeddings.decoder import AffineDecoder, NonlinearDecoder, SoftmaxOutput
from labkit.embeddings.encoder import ContextEncoder
from labkit.embeddings.exchange import SenseVector, sense_vectors
from labkit.embeddings.word import WordDensity

MOST_COMPARED = 2000  # words, the most frequent ones, among which similar ones are looked for
KEPT_DENSITIES = 128  # words whose modes and cells are remembered


class LatentEmbedding(Embedding):
    """log p(c∣w) = log ∫ p(z∣w) Π_j p(c_j∣z,w) dz, bounded from below with S samples of q(z∣w,c).

    Subclasses give the prior: `_prior(word_dim)`, a module whose call on word vectors (..., E) is a Distribution
    over (k,) with batch shape (...).
    """

    def _prior(self) -> nn.Module:
        raise NotImplementedError

    @property
    def latent_dim(self) -> int:
        """k, the number of stochastic coordinates."""
        return self.dim

    def _decoder(self) -> nn.Module:
        if self.decoder == "nonlinear":
            return NonlinearDecoder(self.dim, self.word_dim, self.vector_dim)
        if self.decoder == "affine":
            return AffineDecoder(self.dim, self.word_dim, self.vector_dim)
        raise ValueError(f"decoder is {self.decoder!r}; expected 'nonlinear' or 'affine'")

    def _build(self, n_words: int, counts: Tensor) -> None:
        self.word_vectors = nn.Embedding(n_words, self.word_dim, sparse=True)
        nn.init.normal_(self.word_vectors.weight, std=0.3)
        self.prior = self._prior()
        self.encoder = ContextEncoder(len(counts), self.latent_dim, self.word_dim, self.vector_dim)
        self.decode = self._decoder()
        self.output = SoftmaxOutput(counts, self.vector_dim, self.negatives)

    def _take_vectors(self, vectors: Tensor, found: Tensor) -> None:
        self.encoder.vectors.weight[found] = vectors[found]
        self.output.vectors.weight[found] = 0.3 * vectors[found]
        ids = torch.tensor([self.vocabulary_[word] for word in self.words_])
        width = min(self.word_dim, self.vector_dim)
        self.word_vectors.weight[found[ids], :width] = 0.5 * vectors[ids[found[ids]], :width]

    def loss(self, batch, generator: torch.Generator, share: float) -> tuple[Tensor, Tensor]:
        """The importance-weighted bound per context word, negated, with the KL weight of this stage of training."""
        centre, context, mask = self._tensors(batch)
        word = self.word_vectors(centre)
        proposal = self.encoder(context, mask, word)
        noise = torch.randn((self.samples, *proposal.mean.shape), generator=generator, device=word.device)
        z = proposal.mean + noise * proposal.stddev
        parts = (
            self.output.sampled_log_prob(self.decode(z, word), context, mask, generator),
            self.prior(word).log_prob(z),
            proposal.log_prob(z),
        )
        per_word = mask.sum()
        weight = self.kl_weight_at(share)
        minimised = -importance_weighted_bound(*parts, weight).sum() / per_word
        with torch.no_grad():
            reported = -importance_weighted_bound(*parts).sum() / per_word
        return minimised, reported

    def kl_weight_at(self, share: float) -> float:
        """β: 0.1 for the first 40 % of training, then rising linearly to 1 at 70 %.

        A small β lets posteriors go where their contexts differ before the prior has learned to follow; a prior that
        follows early holds them together in one mode. All figures are reported at β = 1.
        """
        return min(1.0, 0.1 + 0.9 * max(0.0, share - 0.4) / 0.3) if self.kl_warm_up else 1.0

    # --- words ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def relevance(self, word: str, n_samples: int = 512, seed: int = 0) -> Tensor:
        """How much each stochastic coordinate moves the decoder: (k,), in units of the hidden vector's length.

        r_i = s_i √E‖∂h/∂z_i‖², with s_i the coordinate's standard deviation under p(z∣w), and the derivative by
        differences of ± 0.05 s_i. A coordinate that explains nothing has r_i near 0 whatever its scale: since output
        vectors are free, relevance is a matter of the decoder with the prior standardised.
        """
        generator = torch.Generator().manual_seed(seed)
        vector = self.word_vector(word)
        z = draw(self.prior_of(word), n_samples, generator)
        steps = 0.05 * torch.diag(z.std(0))  # (k, k)
        ahead, behind = (self.decode(z[:, None] + sign * steps, vector) for sign in (1, -1))
        return ((ahead - behind) / 0.1).square().sum(-1).mean(0).sqrt()

    def word_vector(self, word: str) -> Tensor:
        """v_w, (E,)."""
        row = self.row(word)  # first, so that an unfitted model says that it is
        return self.word_vectors.weight[row].detach()

    def hidden_at(self, word: str, z: Tensor) -> Tensor:
        """h(z, w), what the output layer sees: (N, k) -> (N, H)."""
        return self.decode(z, self.word_vector(word))

    def context_log_prob(self, word: str, z: Tensor, contexts: Tensor) -> Tensor:
        """log p(c∣z,w) in nats of single context words: places (N, k), ids (W,) -> (N, W); differentiable in z."""
        return self.output.log_prob(self.hidden_at(word, z), contexts)

    def __getitem__(self, word: str) -> WordDensity:
        self.row(word)
        if self.training:  # it changes with every step
            return WordDensity(self, word)
        if word not in self._densities:
            if len(self._densities) >= KEPT_DENSITIES:
                self._densities.pop(next(iter(self._densities)))
            self._densities[word] = WordDensity(self, word)
        return self._densities[word]

    def train(self, mode: bool = True) -> "LatentEmbedding":
        """As nn.Module has it; densities that were kept are forgotten."""
        self._densities, self._sense_vectors = {}, None
        return super().train(mode)

    def most_similar(self, word: str, sense: int | None = None, n: int = 10) -> list[tuple[str, int, float]]:
        """The modes of other words nearest to a mode of this one: (word, mode, cosine), best first.

        Compared are the modes' mean hidden vectors h(z, w): what contexts they call for. With sense None, the mode
        with most mass.

        Raises:
            ValueError: if the word has no such mode.
        """
        own = sense_vectors(self, [word])
        number = 0 if sense is None else sense
        if not 0 <= number < len(own):
            raise ValueError(
                f"sense is {sense} and {word!r} has {len(own)} mode(s), numbered from 0: "
                + "; ".join(f"{e.sense} {' '.join(e.near[:3])}" for e in own)
            )
        others = [entry for entry in self._all_sense_vectors() if entry.word != word]
        if not others:
            return []
        centre = torch.stack([entry.vector for entry in self._all_sense_vectors()]).mean(0)
        matrix = torch.stack([entry.vector for entry in others]) - centre
        cosine = torch.nn.functional.cosine_similarity(matrix, own[number].vector - centre)
        best = cosine.topk(min(n, len(others)))
        return [(others[i].word, others[i].sense, float(c))
                for c, i in zip(best.values, best.indices.tolist(), strict=True)]  # fmt: skip

    def _all_sense_vectors(self) -> list[SenseVector]:
        if self._sense_vectors is None:
            common = np.argsort(-self.counts_, kind="stable")[:MOST_COMPARED]
            self._sense_vectors = sense_vectors(self, [self.words_[i] for i in np.sort(common)])
        return self._sense_vectors

    def overlap(self, word: str, other: str, n_samples: int = 20_000, seed: int = 0) -> Estimate:
        """∫ min(p(z∣w), p(z∣w′)) dz in [0, 1], with its standard error: how much of the plane two words share."""
        generator = torch.Generator().manual_seed(seed)
        return overlap(self.prior_of(word), self.prior_of(other), n_samples, generator)

    def prior_of(self, word: str) -> Distribution:
        """p(z∣w): event shape (k,)."""
        return self.prior(self.word_vector(word))

    @torch.no_grad()
    def bound(self, word: str, context: Tensor, mask: Tensor, samples: int = 64, seed: int = 0) -> Tensor:
        """The importance-weighted bound on log p(c∣w) with the full softmax: (n, M) -> (n,), nats; for any k."""
        generator = torch.Generator(context.device).manual_seed(seed)
        vector = self.word_vector(word)
        proposal = self.encoder(context, mask, vector.expand(len(context), -1))
        ids, place = torch.unique(context.clamp_min(0), return_inverse=True)
        log_weights = []
        for _ in range(samples):
            noise = torch.randn(proposal.mean.shape, generator=generator, device=context.device)
            z = proposal.mean + noise * proposal.stddev
            scores = self.context_log_prob(word, z, ids).gather(1, place)
            log_likelihood = (scores * mask).sum(-1)
            log_weights.append(log_likelihood + self.prior_of(word).log_prob(z) - proposal.log_prob(z))
        return torch.stack(log_weights).logsumexp(0) - math.log(samples)
