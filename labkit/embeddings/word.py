"""The density of one word, and what one can ask of it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from labkit.density import (
    Estimate,
    Grid,
    Mode,
    Modes,
    NullTable,
    Posterior,
    draw,
    entropy,
    find_modes,
    hdr_levels,
    posterior,
)

MIN_MASS = 0.05
NULL_TABLE = Path(__file__).parents[1] / "density" / "mode_null.json"  # made by benchmarks/mode_null.py
WORDS_PER_MODE, SENTENCES_PER_MODE = 8, 5
REACH = 14.0  # nats below the top at which a cell of the grid no longer counts
RESOLUTION = 91  # cells an axis, for sums over a word's plane


@dataclass(frozen=True)
class WordMode(Mode):
    """A mode of a word's density, with the words and sentences that live there, best first.

    `words` are ranked by p(c∣mode) log (p(c∣mode) / p(c∣w)): likely in the mode, and more so than for the word at
    large. `sentences` are those of the corpus whose posterior mass lies most fully in the mode.
    """

    words: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()


class Evidence(NamedTuple):
    """For n windows: log p(c∣w) in nats (n,), and the posterior mass of each mode (n, modes)."""

    log_prob: Tensor
    mode_mass: Tensor


class WordDensity(Distribution):
    """p(z∣w) as a torch Distribution over (k,), with modes, entropy and Bayes' rule.

    `model["bank"]` makes one. `log_prob`, `sample` and everything that takes a Distribution work on it.
    """

    has_rsample = True

    def __init__(self, model, word: str, prior: Distribution | None = None, given: str | None = None):
        self.model, self.word, self.context = model, word, given
        self.prior = prior if prior is not None else model.prior_of(word)
        super().__init__(torch.Size(), self.prior.event_shape, validate_args=False)

    def __repr__(self) -> str:
        given = f", given {self.context!r}" if self.context else ""
        return f"WordDensity({self.word!r}{given}; {self.event_shape[0]} dimensions)"

    @property
    def support(self):
        return torch.distributions.constraints.real_vector

    @torch.no_grad()
    def log_prob(self, value: Tensor) -> Tensor:
        """log p(z∣w), nats: (..., k) -> (...)."""
        return self.prior.log_prob(value)

    def differentiable_log_prob(self, value: Tensor) -> Tensor:
        """`log_prob` with gradients, for ascent to the modes."""
        return self.prior.log_prob(value)

    def rsample(self, sample_shape=()) -> Tensor:
        """Draws (*sample_shape, k), differentiable where the prior's are."""
        return self.prior.rsample(sample_shape)

    @torch.no_grad()
    def sample(self, sample_shape=(), generator: torch.Generator | None = None) -> Tensor:
        """Independent draws, (*sample_shape, k); reproducible with a generator."""
        if generator is None:
            return self.prior.sample(sample_shape)
        shape = torch.Size(sample_shape)
        return draw(self.prior, shape.numel(), generator).reshape(*shape, -1)

    def entropy(self) -> Estimate:
        """−∫ p log p in nats, with its standard error (0 by quadrature, for k ≤ 2)."""
        return entropy(self.prior)

    def hdr(self, probs=(0.5, 0.8, 0.95, 0.99)) -> dict[float, float]:
        """log p on the border of the smallest region that holds each probability, nats."""
        return hdr_levels(self.prior, probs)

    # --- modes ------------------------------------------------------------------------------------------------

    @property
    def significance(self) -> float:
        """The least drop between modes that one-mode data would not show, for as many occurrences as w had."""
        table = NullTable.load(NULL_TABLE)
        return table(int(self.model.counts_[self.model.row(self.word)]))

    @cached_property
    def basins(self) -> Modes:
        """The modes without labels: where they are, their mass, and `assign`."""
        return find_modes(self.prior, min_mass=MIN_MASS, significance=self.significance)

    def modes(self) -> Modes:
        """The modes, heaviest first, each with its words and example sentences."""
        basins = self.basins
        words = self.words_by_mode()
        sentences = self._sentences_by_mode()
        labelled = [
            WordMode(m.location, m.mass, m.log_density, m.drop, m.members, tuple(w), tuple(s))
            for m, w, s in zip(basins, words, sentences, strict=True)
        ]
        return Modes(labelled, basins.assign)

    @cached_property
    def _cells(self) -> tuple[Tensor, Tensor, Tensor]:
        """Places (N, k), their log-masses (N,) and modes (N,): grid cells for k ≤ 2, samples above."""
        if self.event_shape[0] > 2:
            points = draw(self.prior, 4096)
            log_mass = torch.full((len(points),), -float(np.log(len(points))))
        else:
            grid = Grid.covering(draw(self.prior, 8192), RESOLUTION if self.event_shape[0] == 2 else None)
            log_mass = grid.log_mass(self.log_prob(grid.points))
            near = log_mass > log_mass.max() - REACH
            points, log_mass = grid.points[near], log_mass[near]
            log_mass = log_mass - log_mass.logsumexp(0)
        return points, log_mass, self.basins.assign(points)

    @cached_property
    def mode_distributions(self) -> Tensor:
        """p(c∣mode, w) over the vocabulary, (modes, V)."""
        points, log_mass, mode = self._cells
        weights, kept = [], []
        for m in range(len(self.basins)):
            inside = torch.nonzero(mode == m).squeeze(1)
            best = inside[log_mass[inside].topk(min(256, len(inside))).indices]
            weights.append(log_mass[best].softmax(0))
            kept.append(points[best])
        everything = torch.arange(len(self.model.vocabulary_), device=points.device)
        return torch.stack([
            w @ self.model.context_log_prob(self.word, z, everything).exp()
            for w, z in zip(weights, kept, strict=True)
        ])  # fmt: skip

    def js_divergence(self) -> float:
        """Jensen–Shannon divergence of the modes' context words, weighted by mass, in bits: how different they are."""
        p, mass = self.mode_distributions.double(), self.basins.masses.double().to(self.mode_distributions.device)
        mixed = (mass / mass.sum()) @ p
        def bits(q):
            return -(q * q.clamp_min(1e-300).log2()).sum(-1)
        return float(bits(mixed) - (mass / mass.sum()) @ bits(p))

    def words_by_mode(self) -> list[list[str]]:
        """The words that live in each mode, best first (see `WordMode`)."""
        p = self.mode_distributions
        if len(p) == 1:
            overall = self.model.context_counts_.to(p) + 1
            overall = overall / overall.sum()
        else:
            mass = self.basins.masses.to(p)
            overall = (mass / mass.sum()) @ p
        score = p * (p.clamp_min(1e-30) / overall).log()
        vocabulary = self.model.vocabulary_
        top = score.topk(min(WORDS_PER_MODE + 1, score.shape[1])).indices.tolist()
        return [
            [w for w in (vocabulary.word(i) for i in row) if w != self.word][:WORDS_PER_MODE] for row in top
        ]

    def _sentences_by_mode(self) -> list[list[str]]:
        found = self.model.occurrences(self.word)
        if found is None:
            return [[] for _ in self.basins]
        corpus, windows = found
        mass = self.evidence(windows.context).mode_mass
        chosen = []
        for m in range(mass.shape[1]):
            order = mass[:, m].argsort(descending=True, stable=True).tolist()
            mine = [i for i in order if mass[i, m] > 0.5] or order[:1]
            sentences = corpus.sentence_of(windows.occurrence[mine])
            if "natural" in corpus.labels:  # a corpus may say which of its sentences are worth reading
                sentences = sentences[np.argsort(~corpus.labels["natural"][sentences], kind="stable")]
            chosen.append([corpus.sentence(int(i)) for i in dict.fromkeys(sentences[:SENTENCES_PER_MODE])])
        return chosen

    # --- Bayes' rule ------------------------------------------------------------------------------------------

    def log_likelihood(self, context: Tensor):
        """z (N, k) -> Σ_j log p(c_j∣z,w), nats, for one context of ids (m,)."""
        ids, repeats = torch.unique(context, return_counts=True)

        def of(z: Tensor) -> Tensor:
            return self.model.context_log_prob(self.word, z, ids) @ repeats.to(z.dtype)

        return of

    def given(self, context, seed: int = 0) -> "WordDensity":
        """p(z∣w,c) ∝ p(z∣w) Π_j p(c_j∣z,w): this density, moved by a sentence or a list of words.

        Exact on a grid for k ≤ 2; above, by importance sampling from the encoder (`effective_sample_size`).

        Raises:
            ValueError: if no word of the context is known.
        """
        text = context if isinstance(context, str) else " ".join(context)
        ids = torch.as_tensor(self.model.encode_context(context, self.word))
        proposal = None
        if self.event_shape[0] > 2:
            vector = self.model.word_vector(self.word)
            with torch.no_grad():
                proposal = self.model.encoder(ids[None], torch.ones_like(ids, dtype=torch.bool)[None], vector[None])
            proposal = _single(proposal)
        generator = torch.Generator().manual_seed(seed)
        moved = posterior(self.prior, self.log_likelihood(ids), proposal, generator=generator)
        return WordDensity(self.model, self.word, moved, text)

    @property
    def effective_sample_size(self) -> float | None:
        """Of an importance-sampled posterior; None where the density is exact."""
        return getattr(self.prior, "effective_sample_size", None)

    @property
    def log_evidence(self) -> Estimate | None:
        """log p(c∣w) of the context this density was given, nats."""
        return self.prior.log_evidence if isinstance(self.prior, Posterior) else None

    @torch.no_grad()
    def evidence(self, contexts) -> Evidence:
        """log p(c∣w) by quadrature with the full softmax, and posterior masses of the modes, for many windows.

        Arguments:
            contexts: ids (n, M), padded with −1.
        """
        points, log_mass, mode = self._cells
        contexts = torch.as_tensor(np.asarray(contexts), device=points.device)
        ids, place = torch.unique(contexts.clamp_min(0), return_inverse=True)
        scores = torch.cat([self.model.context_log_prob(self.word, points, ids), points.new_zeros(len(points), 1)], 1)
        place = torch.where(contexts >= 0, place, len(ids))  # padding scores 0
        log_prob, masses = [], []
        for rows in place.split(512):
            joint = scores[:, rows].sum(-1) + log_mass[:, None]  # (N, rows)
            total = joint.logsumexp(0)
            share = (joint - total).exp()
            one_hot = torch.nn.functional.one_hot(mode, len(self.basins)).to(share)
            log_prob.append(total)
            masses.append(share.T @ one_hot)
        return Evidence(torch.cat(log_prob), torch.cat(masses))


def _single(proposal: Distribution) -> Distribution:
    """The one density of a batch of one."""
    normal = torch.distributions.Normal(proposal.mean[0], proposal.stddev[0])
    return torch.distributions.Independent(normal, 1)
