"""Readers of sense-labelled sets: CoarseWSD-20, SemEval-2010 task 14 and SemEval-2013 task 13."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from labkit.text.occurrences import Occurrences, SenseSet, check_place

SUFFIXES = ("s", "es", "ed", "d", "ing", "er", "est")  # of a headword's regular forms


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file with their numbers from 1, ended by \\n or \\r\\n alone; blank ones are left out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: bytes that are not UTF-8.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; expected it as part of the set")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start:,} is not UTF-8") from None
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.rstrip("\r")


def read_coarsewsd(folder: str | Path) -> SenseSet:
    """A folder in the layout of CoarseWSD-20, whatever its words: `<word>/{train,test}.{data,gold}.txt`.

    A line of a data file is the number of the target token, from 0, a tab, and the sentence, its tokens parted by
    blanks; a line of a gold file is a label, which `classes_map.txt` (JSON), if there, turns into a name. The train
    files may be missing.

    Raises:
        FileNotFoundError: no such folder, or no word in it.
        ValueError: a malformed line or a target outside its sentence (file and line are named), gold and data of
            different length, a label that `classes_map.txt` lacks.

    References:
        Loureiro, Rezaee, Pilehvar & Camacho-Collados, Analysis and evaluation of language models for word sense
        disambiguation, Computational Linguistics 47 (2021), arXiv:2008.11608.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}; expected one with a folder a word, <word>/test.data.txt")
    words = sorted(path.parent.name for path in folder.glob("*/test.data.txt"))
    if not words:
        raise FileNotFoundError(
            f"{folder} has no <word>/test.data.txt; expected a folder in the layout of CoarseWSD-20"
        )
    train = {word: _coarse(folder / word, "train") for word in words if (folder / word / "train.data.txt").exists()}
    return SenseSet(folder.name, train, {word: _coarse(folder / word, "test") for word in words})


def _coarse(folder: Path, split: str) -> Occurrences:
    data, gold = folder / f"{split}.data.txt", folder / f"{split}.gold.txt"
    sentences, places = [], []
    for number, line in lines_of(data):
        place, tab, sentence = line.partition("\t")
        if not tab or not place.strip().isdecimal():
            raise ValueError(
                f"{data}, line {number}: got {line!r:.60}; "
                "expected the number of the target token, a tab, and a sentence"
            )
        tokens = sentence.split()
        check_place(int(place), len(tokens), f"{data}, line {number}")
        sentences.append(tokens)
        places.append(int(place))
    labels = [label.strip() for _, label in lines_of(gold)]
    if len(labels) != len(sentences):
        raise ValueError(
            f"{data} has {len(sentences):,} sentences and {gold.name} {len(labels):,} labels; expected as many of each"
        )
    return Occurrences.of(folder.name, sentences, places, _named(labels, folder / "classes_map.txt"))


def _named(labels: list[str], path: Path) -> list[str]:
    if not path.exists():
        return labels
    names = json.loads(path.read_text(encoding="utf-8"))
    unknown = sorted(set(labels) - set(names))
    if unknown:
        raise ValueError(f"{path} has no name for the label {unknown[0]!r}; it has {', '.join(map(repr, names))}")
    return [names[label] for label in labels]


def read_keys(path: str | Path) -> dict[str, str]:
    """Instance -> sense from a key file: a line is "bank.n bank.n.7 sense/weight sense/weight …".

    A weight that is missing counts 1. Of several senses the heaviest is taken, of equals the first.

    Raises:
        ValueError: a line with fewer than three fields, or a weight that is no number (file and line are named).
    """
    senses = {}
    for number, line in lines_of(Path(path)):
        fields = line.split()
        if len(fields) < 3:
            raise ValueError(f"{path}, line {number}: got {line!r:.60}; expected a word, an instance and its senses")
        weighed = []
        for entry in fields[2:]:
            sense, slash, weight = entry.rpartition("/")
            try:
                weighed.append((float(weight), sense) if slash else (1.0, entry))
            except ValueError:
                raise ValueError(
                    f"{path}, line {number}: got {entry!r}; expected sense/weight, the weight a number"
                ) from None
        senses[fields[1]] = max(weighed, key=lambda pair: pair[0])[1]
    return senses


def read_semeval2010(folder: str | Path) -> SenseSet:
    """SemEval-2010 task 14: `test_data/{nouns,verbs}/<word>.<n|v>.xml` and `evaluation/unsup_eval/keys/all.key`.

    An instance is an element named like its id ("access.n.7") that holds text, a `TargetSentence`, and text. The
    files do not say which token is the target: it is the first of the target sentence that is the headword, one of
    its regular forms, or else shares most letters from the beginning with it. `training_data/`, if there, gives
    unlabelled text: its paragraphs have no target sentence, and the target is looked for in all of them.

    Raises:
        FileNotFoundError: a file of the layout is missing.
        ValueError: XML that cannot be read.

    References:
        Manandhar, Klapaftis, Dligach & Pradhan, SemEval-2010 task 14: word sense induction & disambiguation (2010).
    """
    folder = Path(folder)
    keys = read_keys(folder / "evaluation" / "unsup_eval" / "keys" / "all.key")
    test = _semeval2010_part(folder / "test_data", keys)
    if not test:
        raise FileNotFoundError(f"{folder} has no test_data/nouns/*.xml or test_data/verbs/*.xml")
    return SenseSet("semeval2010", _semeval2010_part(folder / "training_data", None), test)


def _semeval2010_part(folder: Path, keys: dict[str, str] | None) -> dict[str, Occurrences]:
    found = {}
    for path in sorted(folder.glob("*/*.xml")):
        rows = []
        for instance in _root(path):
            if keys is not None and instance.tag not in keys:
                continue  # what people did not label is not scored
            marked = instance.find("TargetSentence")
            before = (instance.text or "").split() if marked is not None else []
            target = ((marked.text if marked is not None else instance.text) or "").split()
            after = (marked.tail or "").split() if marked is not None else []
            if target:
                place = len(before) + likeliest_form(path.stem.partition(".")[0], target)
                rows.append((before + target + after, place, keys[instance.tag] if keys else None))
        if rows:
            found[path.stem] = _occurrences(path.stem, rows)
    return found


def _occurrences(word: str, rows: list[tuple]) -> Occurrences:
    """Rows (sentence, place, sense) of "bank.n", whose headword is "bank"."""
    sentences, places, senses = zip(*rows, strict=True)
    return Occurrences.of(word.partition(".")[0], sentences, places, senses if senses[0] is not None else None)


def likeliest_form(word: str, tokens: list[str]) -> int:
    """Where a headword stands among tokens: as it is, in a regular form, or where the beginning is likest.

    Example:
        >>> likeliest_form("stop", ["He", "stopped", "at", "the", "shop"])
        1
    """
    lowered = [token.lower() for token in tokens]
    forms = [word, *(word + suffix for suffix in SUFFIXES), *(word[:-1] + suffix for suffix in ("ies", "ied", "ing"))]
    for form in forms:
        if form in lowered:
            return lowered.index(form)
    shared = [next((i for i, (a, b) in enumerate(zip(token, word, strict=False)) if a != b), min(len(token), len(word)))
              for token in lowered]  # fmt: skip
    return max(range(len(tokens)), key=lambda i: (shared[i], -i))


def read_semeval2013(folder: str | Path) -> SenseSet:
    """SemEval-2013 task 13: `contexts/senseval2-format/*.xml` and `keys/gold/all.key`.

    An instance is `<instance id="add.v.1"><context>before <head>added</head> after</context></instance>` in a
    `lexelt item="add.v"`. Instances with several graded senses count with the heaviest; those without a key are
    left out. There is no training part.

    Raises:
        FileNotFoundError: a file of the layout is missing.
        ValueError: XML that cannot be read, or an instance without a head (file and instance are named).

    References:
        Jurgens & Klapaftis, SemEval-2013 task 13: word sense induction for graded and non-graded senses (2013).
    """
    folder = Path(folder)
    keys = read_keys(folder / "keys" / "gold" / "all.key")
    paths = sorted((folder / "contexts" / "senseval2-format").glob("*.xml"))
    if not paths:
        raise FileNotFoundError(f"{folder} has no contexts/senseval2-format/*.xml")
    rows: dict[str, list] = {}
    for path in paths:
        for word in _root(path).iter("lexelt"):
            for instance in word.iter("instance"):
                name = instance.get("id", "")
                head = instance.find("context/head")
                if head is None or not (head.text or "").split():
                    raise ValueError(
                        f"{path}: the instance {name!r} marks no word; expected <head>…</head> in its context"
                    )
                if name in keys:
                    context = instance.find("context")
                    before, after = (context.text or "").split(), (head.tail or "").split()
                    sentence = before + (head.text or "").split() + after
                    rows.setdefault(word.get("item", ""), []).append((sentence, len(before), keys[name]))
    return SenseSet("semeval2013", {}, {word: _occurrences(word, rows[word]) for word in sorted(rows)})


def _root(path: Path) -> ET.Element:
    try:
        return ET.parse(path).getroot()
    except ET.ParseError as error:
        raise ValueError(f"{path} is not XML: {error}") from None
