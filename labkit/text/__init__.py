"""Words: text to tokens, tokens to ids, ids to windows. Knows nothing of torch."""

from labkit.text.corpus import Corpus
from labkit.text.data import data_folder
from labkit.text.datasets import DATASETS, load_dataset
from labkit.text.download import fetch
from labkit.text.grammar import SenseGrammar
from labkit.text.named import load_corpus
from labkit.text.occurrences import Occurrences, PairsInContext, SenseSet, WordPairs
from labkit.text.sense_sets import read_coarsewsd
from labkit.text.senses import FUNCTION_WORDS, grammar_sentences, handwritten, senses_corpus
from labkit.text.tokenize import Tokenizer
from labkit.text.vocabulary import Vocabulary
from labkit.text.windows import WindowBatch, Windows

__all__ = [
    "DATASETS", "FUNCTION_WORDS", "Corpus", "Occurrences", "PairsInContext", "SenseGrammar", "SenseSet", "Tokenizer",
    "Vocabulary", "WindowBatch", "Windows", "WordPairs", "data_folder", "fetch", "grammar_sentences", "handwritten",
    "load_corpus", "load_dataset", "read_coarsewsd", "senses_corpus",
]  # fmt: skip
