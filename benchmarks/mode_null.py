"""The drop between two modes that noise alone brings about: the whole model, refitted to words with one sense.

    python benchmarks/mode_null.py --replicates 200 --sizes 100 300 1000 3000

For each size n a corpus is drawn in which each of `replicates` words occurs n times and has *one* sense:

    z ~ N(a_w, I_k),   c_j ~ softmax(gain · U z + b) independently, j = 1..m,   b_v = −log v

with its own centre a_w ~ N(0, 1.5² I), and U standard normal: along z the words around it drift, but nothing in them
gathers at two places. `StochasticEmbedding` with its default settings is fitted to the corpus, so that noise enters
where it does in use (the words drawn, the proposal, the decoder, the schedule), and each word's modes are looked for.
The `level` point of the second mode's drop is the threshold for a word with n occurrences. At the default of 99 %
about one word with one sense in a hundred is said to have two. Writes the table that `NullTable.load` reads.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

import labkit as lk
from labkit.density import NullTable, null_drops, null_threshold

TABLE = Path(__file__).parents[1] / "labkit" / "density" / "mode_null.json"
MIN_MASS, SPREAD = 0.05, 1.5


def speak(points: Tensor, gain: float, window: int, size: int, seed: int) -> lk.Corpus:
    """A sentence for each of the points (R, n, k): its word, and `window` words that the place z brings about."""
    replicates, n, k = points.shape
    generator = torch.Generator().manual_seed(seed)
    centres = SPREAD * torch.randn(replicates, 1, k, generator=generator)
    directions = gain * torch.randn(k, size, generator=generator)
    log_frequency = -torch.arange(1, size + 1).log()
    sentences = []
    for word, z in enumerate(centres + points):
        p = torch.softmax(z @ directions + log_frequency, -1)
        around = torch.multinomial(p, window, replacement=True, generator=generator)
        sentences += [[f"word{word}", *(f"context{c}" for c in row)] for row in around.tolist()]
    return lk.Corpus.from_sentences(sentences, targets=[0] * len(sentences), min_count=1)


def fit_words(points: Tensor, gain: float, window: int, size: int, seed: int, device: str) -> list:
    """The densities of the words that spoke from the points (R, n, k)."""
    corpus = speak(points, gain, window, size, seed)
    model = lk.StochasticEmbedding(dim=points.shape[-1], seed=seed, device=device).fit(corpus)
    return [model[f"word{word}"] for word in range(len(points))]


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 300, 1000, 3000], help="ascending")
    parser.add_argument("--replicates", type=int, default=200, help="words in each corpus")
    parser.add_argument("--level", type=float, default=0.99, help="share of one-sense words that stay below")
    parser.add_argument("--features", type=int, default=2, help="k, coordinates of the density")
    parser.add_argument("--gain", type=float, default=1.0, help="nats of log-odds a unit of z moves a word by")
    parser.add_argument("--window", type=int, default=6, help="m, context words")
    parser.add_argument("--vocabulary", type=int, default=2000, help="context words to draw from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=TABLE)
    options = parser.parse_args()
    drawn = {"gain": options.gain, "window": options.window, "size": options.vocabulary, "seed": options.seed}
    thresholds = []
    for n in options.sizes:
        start = time.perf_counter()
        drops = null_drops(
            lambda points: fit_words(points, **drawn, device=options.device),
            n, options.replicates, options.features, options.seed, MIN_MASS,
        )  # fmt: skip
        thresholds.append(round(null_threshold(drops, options.level), 4))
        several = (drops > 0).float().mean().item()
        print(
            f"n = {n:5d}: {several:4.0%} with a second mode, 95 % point {null_threshold(drops):.3f}, "
            f"{options.level:.0%} point {thresholds[-1]:.3f} nats, {time.perf_counter() - start:.0f} s"
        )
    # The 99 % point of 200 words is rough; that more sentences never call for a larger drop is certain.
    thresholds = [max(thresholds[place:]) for place in range(len(thresholds))]
    settings = {"model": "StochasticEmbedding", "features": options.features, "replicates": options.replicates}
    NullTable(options.sizes, thresholds, options.level, MIN_MASS, settings | drawn).save(options.out)


if __name__ == "__main__":
    main()
