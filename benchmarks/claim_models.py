"""What the tests of the claims work on: presets, the real text, and models of it that are trained once and kept."""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

from labkit import GaussianEmbedding, PointEmbedding, StochasticEmbedding
from labkit.embeddings import Embedding
from labkit.embeddings.peers import at_scale
from labkit.evaluate.induction import text_of
from labkit.text import Corpus
from labkit.text.datasets import load_dataset
from labkit.text.occurrences import SenseSet
from labkit.text.sense_sets import read_coarsewsd


@dataclass(frozen=True)
class Preset:
    """How much work.

    Attributes:
        seeds: of models of the built-in corpus; `real_seeds` of those of the real text.
        steps: of the models of the real text, of 1,024 windows each.
        ladder: steps, of 320 windows, among which those of a model of the built-in corpus are chosen.
        shares: of the built-in corpus; `real_shares` of the real text, with the steps of each.
        words: how many are asked for their entropy.
        occurrence_pairs: of SCWS on which densities of occurrences are compared, each word of them fitted anew.
        pairs: of SCWS, at most, since each word of them needs its modes; `paths`: between contexts, for each word.
    """

    seeds: int
    real_seeds: int
    steps: int
    ladder: tuple[int, ...]
    shares: tuple[float, ...]
    real_shares: tuple[tuple[float, int], ...]
    words: int
    pairs: int
    paths: int
    occurrence_pairs: int
    max_size: int = 20_000


PRESETS = {
    "smoke": Preset(1, 1, 10, (10,), (0.03, 0.1), ((0.01, 5),), 40, 30, 2, 3, 5000),
    "minutes": Preset(1, 1, 1200, (100, 300), (0.03, 0.3, 1.0), ((0.1, 300),), 500, 100, 4, 20),
    "table": Preset(5, 2, 1200, (100, 300, 900), (0.01, 0.03, 0.1, 0.3, 1.0), ((0.01, 150), (0.1, 600)),
                    1000, 200, 6, 60),
}  # fmt: skip
MODELS = {"flow": StochasticEmbedding, "gaussian": GaussianEmbedding, "point": PointEmbedding}
HELD_OUT = 0.02  # of the sentences of the real text


def real_text(corpora: list[str], preset: Preset, coarsewsd: str | Path | None = None) -> tuple[Corpus, Corpus]:
    """What models learn from, and the sentences held out."""
    return whole_text(corpora, coarsewsd, min_count=5, max_size=preset.max_size).split(1 - HELD_OUT, seed=0)


def whole_text(corpora: list[str], coarsewsd: str | Path | None, **options) -> Corpus:
    """The corpora, and the sentences of the sets without labels."""
    sets = [load_dataset("scws"), *load_dataset("wic").values(), sense_set(coarsewsd)]
    return text_of(itertools.chain.from_iterable(one.sentences() for one in sets), corpora, **options)


def sense_set(folder: str | Path | None) -> SenseSet:
    """CoarseWSD-20 or its twelve words, whichever is there."""
    if folder is not None:
        return read_coarsewsd(folder)
    try:
        return load_dataset("coarsewsd20")
    except FileNotFoundError:
        return load_dataset("coarsewsd12")


class Kept:
    """Models of the real text in a folder: read where one of these settings is there, trained and written otherwise."""

    def __init__(self, corpus: Corpus, preset: Preset, folder: Path):
        self.corpus, self.preset, self.folder = corpus, preset, folder

    def model(self, name: str, seed: int, share: float = 1.0) -> Embedding:
        """A model of a share of the text."""
        steps = self.preset.steps if share == 1 else dict(self.preset.real_shares)[share]
        fresh = MODELS[name](batch_size=1024, steps=steps, seed=seed)
        corpus = self.corpus if share == 1 else self.corpus.split(share, seed=seed)[0]
        return self._kept(f"{name}-{share:g}-{seed}", fresh, corpus)

    def skip_gram(self, seed: int, folder: Path | None = None) -> PointEmbedding:
        """The skip-gram whose vectors occurrences are made of: that of benchmarks/senses.py, if its folder is given."""
        if folder is not None:
            return Embedding.load(folder / f"skip-gram-{seed}")
        fresh = at_scale(self.corpus, seed).set_params(steps=self.preset.steps)
        return self._kept(f"skip-gram-{seed}", fresh, self.corpus)

    def _kept(self, name: str, model: Embedding, corpus: Corpus) -> Embedding:
        place, note = self.folder / "models" / name, self.folder / "models" / f"{name}.json"
        settings = model.get_params() | {"tokens": corpus.n_tokens, "vocabulary": len(corpus.vocabulary)}
        settings = json.loads(json.dumps(settings))
        if note.exists() and (kept := json.loads(note.read_text()))["settings"] == settings:
            model = Embedding.load(place)
            model.seconds_ = kept["seconds"]
        else:
            model.fit(corpus, progress=False)
            model.save(place)
            note.write_text(json.dumps({"settings": settings, "seconds": model.seconds_}))
        model.corpus_ = corpus
        return model


def write(path: Path, content: dict) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".part")
    fresh.write_text(json.dumps(content), encoding="utf-8")
    fresh.replace(path)
