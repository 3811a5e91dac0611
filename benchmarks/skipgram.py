"""Words of text a second: the skip-gram behind the systems of benchmarks/senses.py, and gensim's on the same text.

One pass over a corpus in memory, everything included but its reading: in turns in one process, one thread each, same
width, window and thinning of frequent words. Ours shares 512 negatives among the pairs of a batch, where gensim draws 5
for each pair. Medians, and the ratio of the same round.

    python benchmarks/skipgram.py [--corpus FILE_OR_NAME] [--rounds 3] [--json]
"""

import argparse
import json
import statistics
import sys

import torch
from interleaved import interleaved, quartiles

from labkit.embeddings.peers import at_scale
from labkit.evaluate.induction import text_of
from labkit.text import Corpus


def ours(corpus: Corpus) -> None:
    """One pass of labkit."""
    model = at_scale(corpus)
    model.set_params(steps=model.steps_per_pass(corpus)).fit(corpus, progress=False)


def gensims(corpus: Corpus) -> None:
    """One pass of gensim."""
    from gensim.models import Word2Vec

    like = at_scale(corpus)
    sentences = [corpus.words(i) for i in range(len(corpus))]
    Word2Vec(sentences, vector_size=like.vector_dim, window=like.window, sample=like.thin_out, sg=1, workers=1,
             min_count=1, seed=0, epochs=1)  # fmt: skip


def measure(corpus: Corpus, rounds: int) -> dict:
    """Medians of words a second, and the middle half of the ratio, ours to gensim's."""
    times = interleaved({"labkit": lambda: ours(corpus), "gensim": lambda: gensims(corpus)}, rounds, warm_up=0)
    speed = {name: 1000 * corpus.n_tokens / statistics.median(found) for name, found in times.items()}
    ratio = quartiles([other / own for own, other in zip(times["labkit"], times["gensim"], strict=True)])
    return {"words": corpus.n_tokens, "vocabulary": len(corpus.vocabulary), "rounds": rounds,
            "words_per_second": speed, "ratio": ratio._asdict()}  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="enwiki2018", help="a text file or a known name (default enwiki2018)")
    parser.add_argument("--rounds", type=int, default=3, help="at least 2 (default 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    options = parser.parse_args(arguments)
    try:
        import gensim  # noqa: F401
    except ImportError:
        sys.exit("benchmarks/skipgram.py compares with gensim, which is not installed: pip install gensim")
    torch.set_num_threads(1)
    report = measure(text_of([], [options.corpus], min_count=5), options.rounds)
    speed, ratio = report["words_per_second"], report["ratio"]
    print(json.dumps(report) if options.json else
          f"labkit {speed['labkit']:,.0f} words/s, gensim {speed['gensim']:,.0f}; "
          f"ratio {ratio['median']:.2f} ({ratio['lower']:.2f} to {ratio['upper']:.2f})")  # fmt: skip


if __name__ == "__main__":
    main()
