"""Labelled sets by name: downloaded and checked, or from the folder LABKIT_DATA; read by the same code either way."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from labkit.text.download import SOURCES, Source, UnknownCorpus, locate
from labkit.text.pairs import read_entailment, read_scws, read_sense_counts, read_similarity, read_wic
from labkit.text.sense_sets import read_coarsewsd, read_semeval2010, read_semeval2013


class DataSet(NamedTuple):
    """How a labelled set is read, and where it comes from."""

    read: Callable[[Path], object]
    source: Source


def _similarity(name: str, file: str, about: str) -> DataSet:
    obtain = "download it from where its authors publish it"
    return DataSet(lambda path: read_similarity(path, name), Source(f"wordsim/{file}", about, obtain))


# No entry has a url: no checksum of a published archive could be verified when this was written, and a download
# that cannot be checked is worse than none. An entry with url and sha256 is fetched; an archive (.zip) is unpacked.
DATASETS: dict[str, DataSet] = {
    "coarsewsd20": DataSet(read_coarsewsd, SOURCES["coarsewsd20"]),
    "coarsewsd12": DataSet(read_coarsewsd, SOURCES["coarsewsd12"]),
    "semeval2010": DataSet(read_semeval2010, Source(
        "semeval2010",
        "SemEval-2010 task 14, Manandhar et al. 2010 (licence not stated; its texts are from OntoNotes)",
        "download its test data, training data and evaluation from the task's site into one folder",
    )),
    "semeval2013": DataSet(read_semeval2013, Source(
        "semeval2013",
        "SemEval-2013 task 13, Jurgens & Klapaftis 2013 (licence not stated; its texts are from the Open ANC)",
        "download SemEval-2013-Task-13-test-data from the task's site and unpack it",
    )),
    "scws": DataSet(read_scws, Source(
        "scws", "SCWS, Huang et al. 2012 (licence not stated)", "download it from where its authors publish it",
    )),
    "wic": DataSet(read_wic, Source(
        "wic", "Word in Context, Pilehvar & Camacho-Collados 2019 (CC BY-NC)",
        "download it with its gold labels from where its authors publish it",
    )),
    "wordsim353": _similarity(
        "wordsim353", "EN-WS-353-ALL.txt", "WordSim-353, Finkelstein et al. 2002 (licence not stated)"
    ),
    "simlex999": _similarity("simlex999", "EN-SIMLEX-999.txt", "SimLex-999, Hill et al. 2015 (licence not stated)"),
    "men": _similarity("men", "EN-MEN-TR-3k.txt", "MEN, Bruni et al. 2014 (CC BY)"),
    "rw": _similarity("rw", "EN-RW-STANFORD.txt", "Rare Words, Luong et al. 2013 (licence not stated)"),
    "simverb3500": _similarity(
        "simverb3500", "EN-SimVerb-3500.txt", "SimVerb-3500, Gerz et al. 2016 (licence not stated)"
    ),
    "baroni2012": DataSet(read_entailment, Source(
        "entailment_baroni2012", "lexical entailment, Baroni et al. 2012 (licence not stated)",
        "download it from where its authors publish it",
    )),
    "wordnet_counts": DataSet(read_sense_counts, Source(
        "wordnet_counts", "senses per lemma, Open English WordNet (CC BY 4.0)",
        "count the senses of each lemma in a release of Open English WordNet: lemma, pos and n_senses, tabs between",
    )),
}  # fmt: skip
SIMILARITY = ("wordsim353", "simlex999", "men", "rw", "simverb3500")


def load_dataset(name: str):
    """A labelled set by its name, from the folder LABKIT_DATA or downloaded.

    Returns:
        What its reader gives: a `SenseSet` ("coarsewsd20", "coarsewsd12", "semeval2010", "semeval2013"),
        `PairsInContext` ("scws"), a dict of them by split ("wic"), `WordPairs` ("wordsim353", "simlex999", "men",
        "rw", "simverb3500", "baroni2012"), or a Series of counts ("wordnet_counts").

    Raises:
        KeyError: a name that is not in `DATASETS`.
        FileNotFoundError: it is not there and cannot be downloaded; the message says how to get it, with its licence.
        ValueError: a download with another SHA-256, or what its reader raises.

    Example:
        >>> load_dataset("senseval1")
        Traceback (most recent call last):
        labkit.text.datasets.UnknownDataSet: no labelled set is called 'senseval1'; expected one of ...
    """
    if name not in DATASETS:
        raise UnknownDataSet(name)
    read, source = DATASETS[name]
    return read(locate(name, source))


class UnknownDataSet(UnknownCorpus):
    """A name that is not in the registry."""

    def __str__(self) -> str:
        names = ", ".join(map(repr, sorted(DATASETS)))
        return f"no labelled set is called {self.args[0]!r}; expected one of {names}"
