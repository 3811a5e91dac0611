"""Claim 4: stochastic embeddings generalise better from little text. Held-out nats and senses against corpus size."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from labkit.embeddings import Embedding, PointEmbedding
from labkit.embeddings.latent import LatentEmbedding
from labkit.embeddings.peers.means import by_silhouette
from labkit.evaluate.likelihood import nats_per_word, optimum, standard_error
from labkit.evaluate.proposals import weigh
from labkit.evaluate.senses import mode_masses, score_clusters, sense_recovery
from labkit.evaluate.windows import LabelledWindows
from labkit.text import Corpus, Windows

VALIDATION = 0.1  # of the sentences: what the number of steps is chosen on
PASSES = 2.0  # over the text: fewer steps are not tried, unless there are no more on the ladder
BOUND_SAMPLES = 32


def corpus_windows(
    corpus: Corpus, words: Sequence[str], per_word: int, window: int = 5, seed: int = 0
) -> list[LabelledWindows]:
    """Windows of words in a text, a random `per_word` of each; those without a context word are left out.

    Words that have no such window are left out. Senses are not known, and empty.
    """
    marked = corpus.targets is not None
    options = {"whole_sentence": True, "targets": "marked"} if marked else {"size": window}
    windows, rng, found = Windows(corpus, subsample=None, **options), np.random.default_rng(seed), []
    for word in words:
        if word not in corpus.vocabulary:
            continue
        rows = windows.occurrences(word)
        usable = np.flatnonzero(rows.mask.any(1))
        chosen = np.sort(rng.permutation(usable)[:per_word])
        if len(chosen):
            found.append(LabelledWindows(word, rows.context[chosen], np.full(len(chosen), "")))
    return found


def quick_nats(model: Embedding, windows: list[LabelledWindows], samples: int = BOUND_SAMPLES) -> float:
    """Mean −log p(c∣w)/m, nats, by the importance-weighted bound of a latent model: for choosing, not for reporting."""
    lengths = np.concatenate([group.lengths for group in windows])
    if isinstance(model, LatentEmbedding):
        log_prob = weigh(model, windows, samples).bound
    else:
        log_prob = torch.cat([model[group.word].evidence(group.context).log_prob for group in windows])
    return float((-log_prob.cpu().double().numpy() / lengths).mean())


def fit_with_chosen_steps(
    make: Callable[[int], Embedding], corpus: Corpus, ladder: Sequence[int], seed: int = 0, per_word: int = 20
) -> tuple[Embedding, dict]:
    """A model with as many steps as a tenth of the sentences says, for which nothing else is used.

    The shortest training that passes twice over the text comes first, then the longer ones of the ladder as long as
    the nats on that tenth fall. So no kind of model is judged by how it overfits or by how long it was left to.

    Arguments:
        make: number of steps -> model, not fitted.
        corpus: to learn from; the words that it marks, or all, are centres.
        ladder: numbers of steps, rising.

    Returns:
        The model, and {"steps", "validation" (nats), "tried"}.

    Raises:
        ValueError: an empty ladder, or one that does not rise.
    """
    if not ladder or list(ladder) != sorted(set(ladder)):
        raise ValueError(f"ladder is {ladder!r}; expected rising numbers of steps, such as (100, 300, 900)")
    learn, look = corpus.split(1 - VALIDATION, seed=seed)
    windows = None
    enough = [steps for steps in ladder if steps >= PASSES * make(steps).steps_per_pass(learn)]
    best, chosen = None, {"validation": float("inf"), "tried": {}}
    for steps in enough or ladder[-1:]:
        model = make(steps).fit(learn, progress=False)
        windows = windows or corpus_windows(look, model.words_, per_word)
        nats = quick_nats(model, windows)
        chosen["tried"][steps] = nats
        if nats >= chosen["validation"]:
            break
        best = model
        chosen |= {"validation": nats, "steps": steps}
    return best, chosen


def vector_recovery(model: PointEmbedding, windows: list[LabelledWindows], seed: int = 0) -> dict[str, float]:
    """Sense recovery of a deterministic embedding: mean output vectors of the context, k-means, number by silhouette.

    What `sense_recovery` is for the modes of a density; the number of senses is found here too, two at least.
    """
    output = model.output.vectors.weight.detach().cpu().numpy()
    unit = output / np.maximum(np.linalg.norm(output, axis=1, keepdims=True), 1e-12)
    rows = []
    for group in windows:
        if len(np.unique(group.senses)) > 1:
            known = group.context >= 0
            means = (unit[group.context] * known[:, :, None]).sum(1)
            means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
            rows.append(score_clusters(group.senses, by_silhouette(means, seed)))
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} if rows else {}


def generalisation_row(model: Embedding, windows: list[LabelledWindows], seed: int = 0) -> dict[str, float]:
    """Held-out nats of a model, and how well its senses are those of the windows, if they have any.

    Returns:
        `nats` a context word (`nats_per_word`) and their standard error over windows; `above_optimum` where it is
        known; `ari` and `clusters`, by the modes of a density, or by k-means on the vectors of a point model.

    Raises:
        ValueError: a word of the windows that the model has no density of.
    """
    missing = [group.word for group in windows if group.word not in model]
    if missing:
        raise ValueError(f"the model has no density of {', '.join(missing[:3])}; expected windows of words it knows")
    nats = nats_per_word(model, windows)
    row = {"nats": float(nats.mean()), "stderr": standard_error(nats), "parameters": model.n_parameters_}
    if all(group.optimum is not None for group in windows):
        row["above_optimum"] = float((nats - optimum(windows)).mean())
    if any(len(np.unique(group.senses)) > 1 for group in windows):
        if isinstance(model, PointEmbedding):
            recovery = vector_recovery(model, windows, seed)
        else:
            recovery, _ = sense_recovery(windows, mode_masses(model, windows))
        row |= {"ari": recovery["ari"], "clusters": recovery["clusters"]}
    return row
