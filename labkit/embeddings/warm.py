"""Warm starts: vectors from co-occurrence counts, or from word2vec and GloVe text files."""

from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from labkit.text import Vocabulary, WindowBatch, Windows

SAMPLED_WINDOWS = 300_000  # are enough to see which words keep company


def spectral_vectors(windows: Windows, dim: int, seed: int = 0) -> np.ndarray:
    """Vectors of all V words from who occurs with whom: (V, dim), of unit standard deviation.

    The d largest singular vectors, times the square roots of their values, of the positive pointwise mutual
    information of words in one window. A start only: it takes a second and no gradient.

    References:
        Levy & Goldberg, Neural word embedding as implicit matrix factorization (2014).
    """
    n_words = len(windows.corpus.vocabulary)
    bags = sp.vstack(
        [
            _bags(batch, n_words)
            for batch in windows.take(max(1, min(SAMPLED_WINDOWS, int(windows.per_epoch)) // windows.batch_size))
        ]
    ).tocsr()
    together = (bags.T @ bags).tocsr()
    together.setdiag(0)
    together.eliminate_zeros()
    left, values, _ = randomized_svd(_positive_information(together), min(dim, n_words - 1), random_state=seed)
    known = left * np.sqrt(values)
    # few words give few directions; the others start at random, since from zero they would never leave it
    rest = np.random.default_rng(seed).standard_normal((n_words, dim - known.shape[1]))
    return np.concatenate([known / max(known.std(), 1e-12), rest], axis=1)


def _bags(batch: WindowBatch, n_words: int) -> sp.csr_matrix:
    """How often each word stands in each window, centre included: (B, V)."""
    columns = np.concatenate([batch.centre[:, None], batch.context], axis=1)
    there = columns >= 0
    rows = np.repeat(np.arange(len(columns)), there.sum(1))
    ones = np.ones(len(rows), dtype=np.float32)
    return sp.csr_matrix((ones, (rows, columns[there])), shape=(len(columns), n_words))


def _positive_information(together: sp.csr_matrix) -> sp.csr_matrix:
    """max(0, log p(a,b) / (p(a) p(b)^¾)), the exponent taming rare words."""
    pairs = together.tocoo()
    total = np.asarray(together.sum(1)).ravel()
    smooth = total**0.75
    information = np.log(pairs.data * smooth.sum() / (total[pairs.row] * smooth[pairs.col]))
    return sp.csr_matrix((np.maximum(information, 0), (pairs.row, pairs.col)), shape=together.shape)


def read_vectors(path: str | Path, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """Vectors from a word2vec or GloVe text file: (V, d), and which words it had, (V,) of bool.

    A first line of two integers (word2vec) is skipped. Words of the file that are not in the vocabulary are too.

    Some GloVe files have words with blanks in them: the numbers are counted from the end of the line.

    Raises:
        ValueError: naming the line that is not a word and as many numbers as the first has, or if no word fits.
    """
    vectors, found, width = None, np.zeros(len(vocabulary), dtype=bool), None
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            width = width or len(line.split()) - 1
            word, *numbers = line.rstrip().rsplit(" ", width)
            if number == 1 and len(numbers) == 1 and word.isdecimal():
                width = int(numbers[0])
                continue
            if len(numbers) != width or not width:
                raise ValueError(
                    f"{path}, line {number}: expected a word and {width} numbers; got {len(numbers)} numbers"
                )
            if word not in vocabulary:
                continue
            if vectors is None:
                vectors = np.zeros((len(vocabulary), width))
            try:
                vectors[vocabulary[word]] = [float(x) for x in numbers]
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from None
            found[vocabulary[word]] = True
    if vectors is None:
        raise ValueError(f"{path} shares no word with the vocabulary of {len(vocabulary):,} words")
    if not np.isfinite(vectors).all():
        raise ValueError(f"{path} has numbers that are NaN or infinite; expected finite ones")
    return vectors, found
