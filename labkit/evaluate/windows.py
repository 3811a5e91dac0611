"""Held-out windows with known senses, as every evaluation takes them."""

from dataclasses import dataclass

import numpy as np

from labkit.text import FUNCTION_WORDS, SenseGrammar, Tokenizer, Vocabulary, handwritten

GRAMMAR_SEED = 1_000_003  # of held-out windows: no training corpus is drawn with it


@dataclass(frozen=True)
class LabelledWindows:
    """n windows of one word.

    Attributes:
        word: the centre.
        context: ids in the model's vocabulary, (n, M), padded with −1.
        senses: their names, (n,).
        optimum: −log p(c∣w) under the grammar that drew them, nats, (n,); None for hand-written sentences.
        known_cues: how many of the grammar's cues for any sense of the word stand in the sentence, (n,).
    """

    word: str
    context: np.ndarray
    senses: np.ndarray
    optimum: np.ndarray | None = None
    known_cues: np.ndarray | None = None

    @property
    def lengths(self) -> np.ndarray:
        """m, the number of context words, (n,)."""
        return (self.context >= 0).sum(1)

    def __len__(self) -> int:
        return len(self.senses)


def grammar_windows(
    vocabulary: Vocabulary, per_word: int = 300, seed: int = GRAMMAR_SEED, grammar: SenseGrammar | None = None
) -> list[LabelledWindows]:
    """Fresh windows of the grammar, `per_word` for every word, with the optimum on each.

    Raises:
        ValueError: if the vocabulary lacks a word of the grammar, since p(c∣w) would then be of something else.
    """
    grammar = grammar or SenseGrammar()
    missing = [word for word in grammar.vocabulary if word not in vocabulary]
    if missing:
        raise ValueError(
            f"the model's vocabulary lacks {len(missing)} of the grammar's {len(grammar.vocabulary):,} words "
            f"({', '.join(missing[:3])}, …); expected a model trained on load_corpus('senses')"
        )
    ids = np.array([vocabulary[word] for word in grammar.vocabulary] + [-1])
    rng = np.random.default_rng(seed)
    windows = []
    for word in grammar.words:
        senses, _, context = grammar.draw(word, per_word, rng)
        names = np.array(grammar.senses[word])[senses]
        windows.append(LabelledWindows(word, ids[context], names, -grammar.log_evidence(word, context)))
    return windows


def handwritten_windows(
    vocabulary: Vocabulary, split: str = "test", grammar: SenseGrammar | None = None
) -> list[LabelledWindows]:
    """The hand-written sentences of a split; sentences with no known word keep an empty window."""
    grammar, tokenizer = grammar or SenseGrammar(), Tokenizer()
    windows = []
    for word, group in handwritten(split).groupby("word", sort=False):
        cues = {cue for sense in grammar.senses[word] for cue in grammar.cues[sense]}
        rows, known = [], []
        for sentence in group.sentence:
            tokens = tokenizer(sentence)
            tokens.remove(word)
            tokens = [t for t in tokens if t not in FUNCTION_WORDS]
            rows.append(vocabulary.encode(tokens, unknown="skip"))
            known.append(sum(t in cues for t in tokens))
        context = np.full((len(rows), max(1, max(map(len, rows)))), -1)
        for i, row in enumerate(rows):
            context[i, : len(row)] = row
        windows.append(LabelledWindows(word, context, group.sense.to_numpy(), None, np.array(known)))
    return windows
