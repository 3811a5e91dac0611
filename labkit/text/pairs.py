"""Readers of sets of pairs: similarity of words, with and without context, entailment; and counts of senses."""

from pathlib import Path

import numpy as np
import pandas as pd

from labkit.text.occurrences import Occurrences, PairsInContext, WordPairs, check_place
from labkit.text.sense_sets import lines_of

WIC_SPLITS = ("train", "dev", "test")


def read_scws(path: str | Path) -> PairsInContext:
    """Stanford's contextual word similarities: `ratings.txt`, or the folder that holds it.

    A line has 18 tab-separated fields: id, word, part of speech, word, part of speech, the two contexts with their
    word in `<b> … </b>`, the mean rating (0 to 10), and ten ratings.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a malformed line (file and line are named).

    References:
        Huang, Socher, Manning & Ng, Improving word representations via global context and multiple word prototypes
        (ACL 2012).
    """
    path = _file(path, "ratings.txt")
    sides: tuple[list, list] = ([], [])
    gold = []
    for number, line in lines_of(path):
        where, fields = f"{path}, line {number}", line.split("\t")
        if len(fields) < 8:
            raise ValueError(f"{where}: got {len(fields)} fields; expected 18, parted by tabs")
        for side, word, context in ((sides[0], fields[1], fields[5]), (sides[1], fields[3], fields[6])):
            side.append((word.lower(), *_marked(context, where)))
        gold.append(_number(fields[7], where))
    return PairsInContext("scws", *map(_occurrences, sides), np.array(gold))


def _marked(context: str, where: str) -> tuple[list[str], int]:
    """The tokens of "… <b> word </b> …" and the place of the word; of several words in the mark, the first."""
    before, opened, rest = context.partition("<b>")
    inside, closed, after = rest.partition("</b>")
    if not (opened and closed and inside.split()):
        raise ValueError(f"{where}: no <b>word</b> in {context!r:.60}")
    tokens = before.split()
    return tokens + inside.split() + after.split(), len(tokens)


def read_wic(folder: str | Path) -> dict[str, PairsInContext]:
    """Word in Context: `{train,dev,test}/<split>.data.txt` and `.gold.txt` -> split -> pairs, gold of bool.

    A line of data is word, part of speech, "place-place", and two sentences whose tokens are parted by blanks; of
    gold, T (same sense) or F. Splits that are not there are left out.

    Raises:
        FileNotFoundError: no split at all.
        ValueError: a malformed line, a place outside its sentence (file and line are named), gold and data of
            different length.

    References:
        Pilehvar & Camacho-Collados, WiC: the word-in-context dataset (NAACL 2019), arXiv:1808.09121.
    """
    folder = Path(folder)
    found = {split: _wic_split(folder / split, split) for split in WIC_SPLITS if (folder / split).is_dir()}
    if not found:
        raise FileNotFoundError(f"{folder} has none of the folders {', '.join(WIC_SPLITS)}; expected the layout of WiC")
    return found


def _wic_split(folder: Path, split: str) -> PairsInContext:
    data, gold = folder / f"{split}.data.txt", folder / f"{split}.gold.txt"
    sides: tuple[list, list] = ([], [])
    for number, line in lines_of(data):
        where, fields = f"{data}, line {number}", line.split("\t")
        places = fields[2].split("-") if len(fields) == 5 else []
        if len(places) != 2 or not all(map(str.isdecimal, places)):
            raise ValueError(
                f"{where}: got {line!r:.60}; expected word, N or V, place-place and two sentences, tabs between"
            )
        for side, place, sentence in zip(sides, map(int, places), fields[3:], strict=True):
            tokens = sentence.split()
            check_place(place, len(tokens), where)
            side.append((fields[0].lower(), tokens, place))
    labels = []
    for number, line in lines_of(gold):
        if line.strip() not in ("T", "F"):
            raise ValueError(f"{gold}, line {number}: got {line!r:.20}; expected T or F")
        labels.append(line.strip() == "T")
    if len(labels) != len(sides[0]):
        raise ValueError(
            f"{data} has {len(sides[0]):,} pairs and {gold.name} {len(labels):,} labels; expected as many of each"
        )
    return PairsInContext(f"wic-{split}", *map(_occurrences, sides), np.array(labels))


def _occurrences(rows: list[tuple[str, list[str], int]]) -> Occurrences:
    words, sentences, places = zip(*rows, strict=True) if rows else ((), (), ())
    return Occurrences.of(words, sentences, places)


def read_similarity(path: str | Path, name: str | None = None) -> WordPairs:
    """Pairs of words with a rating: one pair a line, "word word rating", parted by tabs or blanks; lower-cased.

    WordSim-353, SimLex-999, MEN, RW and SimVerb-3500 are published in such files. A first line whose third field is
    no number is taken as a header; one with a column "SimLex999" says which column the rating is in. A part of speech
    behind a word ("sun-n") is cut off.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a malformed line (file and line are named).
    """
    path = Path(path)
    first, second, gold, column = [], [], [], 2
    for number, line in lines_of(path):
        fields = line.split("\t") if "\t" in line else line.split()
        if number == 1 and len(fields) > 2 and not _is_number(fields[2]):
            if len(fields) > 3 and _is_number(fields[3]):  # word, word, part of speech, rating, as in SimVerb-3500
                column = 3
            else:
                column = fields.index("SimLex999") if "SimLex999" in fields else column
                continue
        where = f"{path}, line {number}"
        if len(fields) <= column:
            raise ValueError(f"{where}: got {line!r:.60}; expected two words and a rating")
        first.append(_bare(fields[0]))
        second.append(_bare(fields[1]))
        gold.append(_number(fields[column], where))
    return WordPairs(name or path.stem, np.array(first), np.array(second), np.array(gold))


def read_entailment(folder: str | Path) -> WordPairs:
    """Lexical entailment: `positive-examples.txtinput` and `negative-examples.txtinput`, "pope-n leader-n" a line.

    gold says whether the first word entails the second (pope ⊨ leader).

    Raises:
        FileNotFoundError: no such file.
        ValueError: a malformed line (file and line are named).

    References:
        Baroni, Bernardi, Do & Shan, Entailment above the word level in distributional semantics (EACL 2012).
    """
    pairs, gold = [], []
    for kind, label in (("positive", True), ("negative", False)):
        path = Path(folder) / f"{kind}-examples.txtinput"
        for number, line in lines_of(path):
            fields = line.split()
            if len(fields) != 2:
                raise ValueError(f"{path}, line {number}: got {line!r:.60}; expected two words")
            pairs.append((_bare(fields[0]), _bare(fields[1])))
            gold.append(label)
    first, second = zip(*pairs, strict=True)
    return WordPairs("baroni2012", np.array(first), np.array(second), np.array(gold))


def read_sense_counts(path: str | Path) -> pd.Series:
    """How many senses a lemma has in a WordNet, all parts of speech together: lemma (lower case) -> count.

    A tab-separated file with the columns `lemma`, `pos` and `n_senses`, or the folder that holds `sense_counts.tsv`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: other columns.
    """
    path = _file(path, "sense_counts.tsv")
    table = pd.read_csv(path, sep="\t", keep_default_na=False)  # "null" and "nan" are lemmas
    if not {"lemma", "n_senses"} <= set(table.columns):
        raise ValueError(f"{path} has the columns {', '.join(table.columns)}; expected lemma, pos and n_senses")
    return table.groupby(table.lemma.astype(str).str.lower()).n_senses.sum()


def _file(path: str | Path, inside: str) -> Path:
    path = Path(path)
    return path / inside if path.is_dir() else path


def _bare(word: str) -> str:
    stem, dash, part = word.strip().lower().rpartition("-")
    return stem if dash and len(part) == 1 else word.strip().lower()


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _number(text: str, where: str) -> float:
    if not _is_number(text):
        raise ValueError(f"{where}: got {text!r:.30}; expected a number")
    return float(text)
