"""The built-in corpus "senses": words whose senses are known, in grammar text and in hand-written sentences."""

import json

import numpy as np
import pandas as pd

from labkit.text.corpus import Corpus
from labkit.text.data import data_folder
from labkit.text.grammar import SenseGrammar

PER_WORD = 2_000  # grammar sentences a word
MIN_COUNT = 3  # leaves every grammar word in, and drops what is seen once or twice in hand-written sentences
FUNCTION_WORDS = frozenset(
    """a an the and or but nor so yet if then than that this these those of in on at by for with from to into onto
    over under up down out off about as is are was were be been being am do does did done has have had having will
    would can could shall should may might must not no it its he him his she her hers they them their we us our i
    me my you your who whom whose which what when where why how all any both each few more most other some such
    only own same too very just there here again once also while because until during before after above below
    between through against don't didn't it's i'm""".split()
)


def handwritten(split: str | None = None) -> pd.DataFrame:
    """The hand-written sentences: columns word, sense, split, sentence.

    Arguments:
        split: "train", "test", or None for both.
    """
    if split not in (None, "train", "test"):
        raise ValueError(f"split is {split!r}; expected 'train', 'test' or None")
    with open(data_folder() / "senses" / "handwritten.jsonl", encoding="utf-8") as file:
        table = pd.DataFrame([json.loads(line) for line in file])
    return table if split is None else table[table.split == split].reset_index(drop=True)


def grammar_sentences(
    grammar: SenseGrammar, per_word: int, seed: int, sentences: bool = True
) -> pd.DataFrame:
    """Sentences of the grammar, `per_word` for every word: columns word, sense, context (ids) and sentence."""
    rng = np.random.default_rng(seed)
    tables = []
    for word in grammar.words:
        senses, _, context = grammar.draw(word, per_word, rng)
        names = np.array(grammar.senses[word])[senses]
        table = pd.DataFrame({"word": word, "sense": names, "context": list(context)})
        if sentences:
            table["sentence"] = [grammar.sentence(word, row, rng) for row in context]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def senses_corpus(per_word: int = PER_WORD, seed: int = 0, min_count: int = MIN_COUNT) -> Corpus:
    """Grammar text and the hand-written *train* sentences, every sentence with its word marked.

    Function words are dropped before windows are taken. The senses are there as a column for evaluation;
    nothing in training looks at it.
    """
    drawn = grammar_sentences(SenseGrammar(), per_word, seed)
    written = handwritten("train")
    columns = ["word", "sense", "sentence"]
    table = pd.concat([drawn[columns], written[columns]], ignore_index=True)
    table["natural"] = np.arange(len(table)) >= len(drawn)  # worth showing to people
    table = table.sample(frac=1, random_state=seed)
    corpus = Corpus.from_dataframe(
        table, "sentence", target="word", sense="sense", labels=["natural"],
        min_count=min_count, stop_words=FUNCTION_WORDS,
    )  # fmt: skip
    corpus.name = "senses"
    return corpus
