"""The density of one word, and what one can ask of it."""

import math
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from labkit.density import (
    Estimate,
    Grid,
    Modes,
    NullTable,
    Posterior,
    draw,
    entropy,
    find_modes,
    hdr_levels,
    posterior,
)
from labkit.embeddings.answers import Cells, Evidence, WordMode, bag_of_words

MIN_MASS = 0.05
NULL_TABLE = Path(__file__).parents[1] / "density" / "mode_null.json"  # made by benchmarks/mode_null.py
WORDS_PER_MODE, SENTENCES_PER_MODE = 8, 5
REACH = 14.0  # nats below the top at which a cell of the grid no longer counts
RESOLUTION = 91  # cells an axis, for sums over a word's plane
LARGEST_TABLE = 4_000_000  # numbers p(c∣z,w), over places and words, that are made of a mode


@cache
def _null_table() -> NullTable:
    """The shipped thresholds, read once."""
    return NullTable.load(NULL_TABLE)


class WordDensity(Distribution):
    """p(z∣w) as a torch Distribution over (k,), with modes, entropy and Bayes' rule.

    `model["bank"]` makes one. `log_prob`, `sample` and everything that takes a Distribution work on it.
    """

    arg_constraints = {}

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

    @property
    def has_rsample(self) -> bool:
        return self.prior.has_rsample

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(z∣w), nats: (..., k) -> (...); with gradients where `value` asks for them."""
        with torch.set_grad_enabled(value.requires_grad and torch.is_grad_enabled()):
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

    @property
    def mean(self) -> Tensor:
        """E[z], (k,): of a density given a context by its weights, otherwise by 4,096 draws."""
        return self.prior.mean if isinstance(self.prior, Posterior) else draw(self.prior, 4096).mean(0)

    def entropy(self) -> Estimate:
        """−∫ p log p in nats, with its standard error (0 by quadrature, for k ≤ 2)."""
        return entropy(self.prior)

    def hdr(self, probs=(0.5, 0.8, 0.95, 0.99)) -> dict[float, float]:
        """log p on the border of the smallest region that holds each probability, nats."""
        return hdr_levels(self.prior, probs)

    # --- modes ------------------------------------------------------------------------------------------------

    @property
    def significance(self) -> float:
        """The drop between modes that one word in a hundred with one sense and as many occurrences would show, nats."""
        return _null_table()(int(self.model.counts_[self.model.row(self.word)]))

    @cached_property
    def basins(self) -> Modes:
        """The modes without labels: where they are, their mass, and `assign`."""
        return find_modes(self.prior, min_mass=MIN_MASS, significance=self.significance)

    def modes(self) -> Modes:
        """The modes, heaviest first, each with its words and example sentences."""
        return self._labelled

    @cached_property
    def _labelled(self) -> Modes:
        basins = self.basins
        words = self.words_by_mode()
        sentences = self._sentences_by_mode()
        labelled = [
            WordMode(m.location, m.mass, m.log_density, m.drop, m.members, tuple(w), tuple(s))
            for m, w, s in zip(basins, words, sentences, strict=True)
        ]
        return Modes(labelled, basins.assign)

    @property
    def cells(self) -> Cells:
        """Places that stand for the density."""
        return Cells(*self._cells)

    @cached_property
    def _cells(self) -> tuple[Tensor, Tensor, Tensor]:
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
    @torch.no_grad()
    def mode_distributions(self) -> Tensor:
        """p(c∣mode, w) = E[p(c∣z,w) ∣ z in the mode], over the vocabulary: (modes, V)."""
        everything = torch.arange(len(self.model.vocabulary_), device=self._cells[0].device)
        rows = []
        for number in range(len(self.basins)):
            places, weights = self._places(number)
            rows.append(weights @ self.model.context_log_prob(self.word, places, everything).exp())
        return torch.stack(rows)

    def _places(self, number: int) -> tuple[Tensor, Tensor]:
        """Places (N, k) in a mode and their weights (N,), for expectations over it."""
        points, log_mass, mode = self._cells
        inside = torch.nonzero(mode == number).squeeze(1)
        if not len(inside):  # a mode that samples happened to miss
            return self.basins[number].location[None].to(points), points.new_ones(1)
        weights, most = log_mass[inside].softmax(0), max(256, LARGEST_TABLE // len(self.model.vocabulary_))
        if len(inside) > most:  # a large vocabulary: places drawn evenly through the mass stand for all
            share = (torch.arange(most, device=points.device, dtype=torch.float64) + 0.5) / most
            chosen = torch.searchsorted(weights.double().cumsum(0), share).clamp_max(len(inside) - 1)
            inside, weights = inside[chosen], weights.new_full((most,), 1 / most)
        return points[inside], weights

    def js_divergence(self) -> float:
        """Jensen–Shannon divergence of the modes' context words, weighted by mass, in bits: how different they are."""
        p = self.mode_distributions.double()
        share = self.basins.masses.to(p) / self.basins.masses.sum().to(p)
        entropy_in_bits = torch.special.entr(torch.cat([p, (share @ p)[None]])).sum(-1) / math.log(2)
        return float(entropy_in_bits[-1] - share @ entropy_in_bits[:-1])

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
            return self.model.context_log_prob(self.word, z, ids) @ repeats.to(z)

        return of

    def given(self, context, seed: int = 0) -> "WordDensity":
        """p(z∣w,c) ∝ p(z∣w) Π_j p(c_j∣z,w): this density, moved by a sentence or a list of words.

        Exact on a grid for k ≤ 2; above, by importance sampling from the encoder (`effective_sample_size`).

        Raises:
            ValueError: if no word of the context is known.
        """
        text = context if isinstance(context, str) else " ".join(context)
        vector = self.model.word_vector(self.word)
        ids = torch.as_tensor(self.model.encode_context(context, self.word), device=vector.device)
        proposal = self._proposal(ids, vector) if self.event_shape[0] > 2 else None
        generator = torch.Generator().manual_seed(seed)
        moved = posterior(self.prior, self.log_likelihood(ids), proposal, generator=generator)
        return WordDensity(self.model, self.word, moved, text)

    @torch.no_grad()
    def _proposal(self, ids: Tensor, vector: Tensor) -> Distribution:
        """The encoder's q(z∣w,c) for one context (m,), without the axis of the batch."""
        batch = self.model.encoder(ids[None], torch.ones_like(ids, dtype=torch.bool)[None], vector[None])
        return Independent(Normal(batch.mean[0], batch.stddev[0]), 1)

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
        """log p(c∣w) with the full softmax, and posterior masses of the modes, for many windows.

        By quadrature for k ≤ 2. Above, an average over 4,096 samples of p(z∣w): rough where the posterior is much
        narrower than the prior, so that nats are better taken from `model.bound`.

        Arguments:
            contexts: ids (n, M), padded with −1.
        """
        points, log_mass, mode = self._cells
        ids, bags = bag_of_words(torch.as_tensor(np.asarray(contexts)))
        scores = self._scorer(ids.to(points.device))  # (N, W)
        of_mode = torch.nn.functional.one_hot(mode, len(self.basins)).to(scores)
        log_prob, masses = [], []
        for some in bags.to(scores).split(1024):
            joint = torch.addmm(log_mass[:, None], scores, some.T)  # (N, windows): log p(z∣w) p(c∣z,w)
            top = joint.amax(0)
            share = joint.sub_(top).exp_()
            total = share.sum(0)
            log_prob.append(top + total.log())
            masses.append(share.T @ of_mode / total[:, None])
        return Evidence(torch.cat(log_prob), torch.cat(masses))

    @torch.no_grad()
    def log_likelihoods(self, contexts) -> Tensor:
        """Σ_j log p(c_j∣z,w) at every one of `cells`, nats: ids (n, M), padded with −1, -> (N, n)."""
        ids, bags = bag_of_words(torch.as_tensor(np.asarray(contexts)))
        scores = self._scorer(ids.to(self._cells[0].device))
        return scores @ bags.to(scores).T

    @cached_property
    def _scorer(self):
        """ids (W,) -> log p(c∣z,w) at every cell, (N, W); the normaliser, which is most of the work, only once."""
        hidden = self.model.hidden_at(self.word, self._cells[0])
        log_total = self.model.output.log_total(hidden)
        return lambda ids: self.model.output.scores(hidden, ids) - log_total[:, None]
