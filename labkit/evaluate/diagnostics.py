"""Is the latent space used? Dimensions, collapse, KL, the encoder against the prior; and a verdict in words."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from labkit.density import draw
from labkit.embeddings.latent import LatentEmbedding
from labkit.evaluate.proposals import Weighed, weigh
from labkit.evaluate.windows import LabelledWindows

USED = 0.1  # a direction is used if the words of a window narrow it by at least a tenth
ACTIVE = 0.01  # of an active unit: variance of the encoder's mean, in units of the prior's variance
COLLAPSED_KL, COLLAPSED_SHARE = 0.01, 0.99  # nats, and the share of the windows that lie below
CLOSE, NEAR = 0.02, 0.1  # energy coefficient up to which two densities are said to agree, and nearly
PLACES = 4  # of each word at which the decoder is differentiated
STEP = 0.05  # of the differences, in standard deviations of the prior
PRIOR_SAMPLES, OF_A_WINDOW = 512, 4


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found. KL and nats are per window of all its words.

    Attributes:
        model: its name.
        coordinates: a row each of the k coordinates: `information`, `active`, `kl` (nats) and `collapsed`.
        effective_dimensions: directions of z, not necessarily coordinates, that the decoder uses.
        active_units: coordinates whose `active` is above 0.01.
        kl: E[log q(z∣w,c) − log p(z∣w)], nats.
        collapsed: no direction is used, or the posterior is the prior in every coordinate.
        encoder_mismatch: energy coefficient of Σ_c q(z∣w,c)/n and p(z∣w): 0 where they are the same, at most 1.
        posterior_mismatch: the same of q reweighed to the posterior: what the prior itself misses.
        effective_samples: of `samples` draws of the encoder, median over windows; and of the worst tenth.
        windows: how many, of how many `words`.
    """

    model: str
    coordinates: pd.DataFrame = field(repr=False)
    effective_dimensions: int
    active_units: int
    kl: float
    collapsed: bool
    encoder_mismatch: float
    posterior_mismatch: float
    effective_samples: tuple[float, float]
    samples: int
    words: int
    windows: int

    @property
    def verdict(self) -> str:
        """One line."""
        k, used = len(self.coordinates), self.effective_dimensions
        dimensions = f"{used} of {k} coordinate{'s are' if k > 1 else ' is'} used"
        if self.collapsed:
            return f"Collapsed: {dimensions}, and a window says {self.kl:.2f} nats of its place."
        mismatch = self.encoder_mismatch
        if mismatch < CLOSE:
            encoder = f"the encoder agrees with the prior ({mismatch:.2f})"
        elif mismatch < NEAR:
            encoder = f"the encoder is a little off the prior ({mismatch:.2f})"
        else:
            encoder = f"the encoder misses the prior ({mismatch:.2f})"
        if mismatch >= CLOSE and self.posterior_mismatch < mismatch / 2:
            encoder += ", which weights mend"
        typical, worst = self.effective_samples
        worth = f"{self.samples} of its samples are worth {typical:.0f} ({worst:.0f} in the worst tenth)"
        return f"{dimensions}; a window says {self.kl:.1f} nats of its place; {encoder}; {worth}."


def diagnose(
    model: LatentEmbedding, windows: list[LabelledWindows] | None = None, samples: int = 64, words: int = 40,
    per_word: int = 30, seed: int = 0,
) -> Diagnosis:  # fmt: skip
    """Whether a latent embedding uses its coordinates, and whether its encoder fits its prior.

    In coordinates standardised by the prior of each word (its mean, and its standard deviation s_i):

    - `information`: the diagonal of m̄ E[F], F = Cov_{p(c∣z,w)}[∂ log p(c∣z,w)/∂z] the Fisher information of one
      context word about z, and m̄ the mean number of words in a window. An eigenvalue λ of m̄ E[F] narrows its direction
      from variance 1 to about 1/(1 + λ); those with λ/(1 + λ) > 0.1 are the effective dimensions. This is automatic
      relevance determination on the decoder, whatever the scale and rotation of z and of the output vectors.
    - `active`: the variance over a word's windows of the mean of q(z∣w,c), averaged over words (Burda et al.).
    - `kl`: that of q's coordinate from a Gaussian with the prior's moments, nats. Exact for a Gaussian prior; for a
      flow the coordinates need not add up to the whole, which is estimated by samples.
    - `collapsed`: below 0.01 nats in 99 % of the windows (Lucas et al.).
    - mismatch: (2 E‖x−y‖ − E‖x−x′‖ − E‖y−y′‖) / 2 E‖x−y‖ for x of the windows' proposals, y of the prior.

    Arguments:
        model: fitted.
        windows: of words of the model; by default up to `per_word` of `words` words of its corpus, evenly by rank.
        samples: S, of the encoder, for each window.

    Raises:
        NotFittedError: a model that is not fitted.
        ValueError: no windows, and no corpus to take them from; or fewer than two windows of each word.

    References:
        Burda, Grosse & Salakhutdinov, Importance weighted autoencoders (2016), section 5; Lucas, Tucker, Grosse &
        Norouzi, Don't blame the ELBO! (2019), definition 1; Saha, Joshi & Whitaker, ARD-VAE (2025), for relevance
        with the prior standardised; Székely & Rizzo, Energy statistics (2013), eq. 6.
    """
    windows = _own_windows(model, words, per_word) if windows is None else windows
    windows = [group for group in windows if len(group.context) > 1]
    if not windows:
        raise ValueError("got no word with two windows; expected some, since what is looked at is how windows differ")
    generator = torch.Generator().manual_seed(seed)
    drawn = weigh(model, windows, samples, seed)
    group = torch.arange(len(windows)).repeat_interleave(torch.tensor([len(g.context) for g in windows]))
    first = torch.tensor([model.row(g.word) for g in windows], device=drawn.row.device)
    with torch.no_grad():
        prior = torch.stack([draw(model.prior_of(g.word), PRIOR_SAMPLES, generator) for g in windows], 1)  # (P, W, k)
        centre, scale = prior.mean(0), prior.std(0)
        precision = _precision(model, windows, first, prior, scale)
        mean = (drawn.proposal.mean - centre[group]) / scale[group]
        spread = drawn.proposal.stddev / scale[group]
        kl = 0.5 * (spread.square() + mean.square() - 1) - spread.log()  # (B, k)
        active = torch.stack([mean[group == w].var(0) for w in range(len(windows))]).mean(0)
        standard = (prior - centre) / scale
        q = ((drawn.z - centre[group]) / scale[group])[:OF_A_WINDOW]
        posterior = (_resampled(drawn, generator) - centre[group]) / scale[group]
    narrowed = torch.linalg.eigvalsh(precision.double()).clamp_min(0)
    used = int((narrowed / (1 + narrowed) > USED).sum())
    flat = (kl < COLLAPSED_KL).float().mean(0) >= COLLAPSED_SHARE
    columns = {"information": precision.diagonal(), "active": active, "kl": kl.mean(0), "collapsed": flat}
    table = pd.DataFrame({name: column.cpu().numpy() for name, column in columns.items()}).rename_axis("coordinate")
    ess = drawn.effective_sample_size
    return Diagnosis(
        model.name, table, used, int((active > ACTIVE).sum()), float(drawn.log_ratio.mean()),
        used == 0 or bool(table.collapsed.all()), _mismatch(q, standard, group), _mismatch(posterior, standard, group),
        (float(ess.median()), float(ess.quantile(0.1))), samples, len(windows), len(group),
    )  # fmt: skip


def _own_windows(model: LatentEmbedding, words: int, per_word: int) -> list[LabelledWindows]:
    """Some of the windows of the corpus from which the model learned, of words from the most frequent to the rarest."""
    order = np.argsort(-np.asarray(model.counts_), kind="stable")
    found = []
    for i in order[np.unique(np.linspace(0, len(order) - 1, words).astype(int))]:
        occurrences = model.occurrences(model.words[i], per_word)
        if occurrences is None:
            raise ValueError("the model knows no corpus; expected model.corpus_ = corpus, or windows to be given")
        context = occurrences[1].context[occurrences[1].mask.any(1)]
        if len(context):
            found.append(LabelledWindows(model.words[i], context, np.full(len(context), "")))
    return found


def _precision(model: LatentEmbedding, windows, rows: Tensor, prior: Tensor, scale: Tensor) -> Tensor:
    """m̄ E[F] over words and places, (k, k), in standardised coordinates."""
    k, total = prior.shape[-1], 0.0
    vectors, bias = model.output.vectors.weight, model.output.bias.weight.squeeze(-1)
    for w, row in enumerate(rows):
        word, z = model.word_vectors(row), prior[:PLACES, w]
        steps = STEP * torch.diag(scale[w])
        ahead, behind = (model.decode(z[:, None] + sign * steps, word) for sign in (1, -1))  # (P, k, H)
        slope = ((ahead - behind) / (2 * STEP)) @ vectors.T  # (P, k, V): of the logits
        share = (model.decode(z, word) @ vectors.T + bias).softmax(-1)[:, None]
        centred = slope - (slope * share).sum(-1, keepdim=True)
        total = total + ((centred * share) @ centred.mT).mean(0)
    length = np.mean(np.concatenate([group.lengths for group in windows]))
    return float(length) * total.reshape(k, k) / len(rows)


def _resampled(drawn: Weighed, generator: torch.Generator) -> Tensor:
    """A few of the samples of each window, drawn by their weights: of the posterior, (OF_A_WINDOW, B, k)."""
    chosen = torch.multinomial(drawn.shares.T.cpu(), OF_A_WINDOW, replacement=True, generator=generator)  # (B, n)
    index = chosen.T.to(drawn.z.device)[..., None].expand(-1, -1, drawn.z.shape[-1])
    return drawn.z.gather(0, index)


def _mismatch(x: Tensor, y: Tensor, group: Tensor) -> float:
    """The energy coefficient of x (n, B, k), the windows of each word together, and y (P, W, k), unbiased but for the
    quotient: pairs of x come from different windows, pairs of y from different draws.
    """
    apart = between = 0.0
    for w in range(y.shape[1]):
        mine, prior = x[:, group == w], y[:, w]
        n = mine.shape[1]
        cross = _distances(mine.flatten(0, 1), prior).mean()
        in_order = mine.transpose(0, 1).flatten(0, 1)
        pairs = _distances(in_order, in_order)
        block = torch.block_diag(*[torch.ones(len(x), len(x), device=x.device)] * n) == 0
        within = _distances(prior, prior).sum() / (len(prior) * (len(prior) - 1))
        apart += float(2 * cross - pairs[block].mean() - within)
        between += float(2 * cross)
    return apart / between


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """‖x − y‖ of all pairs, exact near 0."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
