"""Readers of sets of pairs, on small sets written here."""

from pathlib import Path

import pytest

from labkit.text.pairs import read_entailment, read_scws, read_sense_counts, read_similarity, read_wic


def test_scws(tmp_path):
    contexts = "a <b> Bank </b> lends", "we sat on <b> benches </b>"
    ratings = "\t".join(["3.5", *["3"] * 10])
    (tmp_path / "ratings.txt").write_text(f"1\tBank\tn\tbenches\tn\t{contexts[0]}\t{contexts[1]}\t{ratings}\n")
    found = read_scws(tmp_path)
    assert (found.first.token(0), found.second.left(0), found.gold.tolist()) == ("Bank", ["we", "sat", "on"], [3.5])
    assert found.first.words.tolist() == ["bank"]
    (tmp_path / "ratings.txt").write_text(f"1\tBank\tn\tbenches\tn\tno mark\t{contexts[1]}\t{ratings}\n")
    with pytest.raises(ValueError, match=r"ratings\.txt, line 1: no <b>word</b> in 'no mark'"):
        read_scws(tmp_path)
    (tmp_path / "ratings.txt").write_text("1\tBank\n")
    with pytest.raises(ValueError, match="line 1: got 2 fields; expected 18"):
        read_scws(tmp_path)


def wic(folder: Path, line: str = "bank\tN\t1-2\tthe bank\tby the banks\n", gold: str = "T\n") -> Path:
    (folder / "dev").mkdir(parents=True)
    (folder / "dev" / "dev.data.txt").write_text(line)
    (folder / "dev" / "dev.gold.txt").write_text(gold)
    return folder


def test_wic(tmp_path):
    found = read_wic(wic(tmp_path))
    assert list(found) == ["dev"] and found["dev"].gold.tolist() == [True]
    assert (found["dev"].first.token(0), found["dev"].second.token(0)) == ("bank", "banks")


@pytest.mark.parametrize(
    "line, gold, message",
    [
        (
            "bank\tN\t1-9\tthe bank\tby the banks\n",
            "T\n",
            "line 1: the target is token 9, but the sentence has 3 tokens",
        ),
        ("bank\tN\t1\tthe bank\tby the banks\n", "T\n", "line 1: got .* expected word, N or V, place-place"),
        ("bank\tN\t1-2\tthe bank\n", "T\n", "line 1: got "),
        ("bank\tN\t1-2\tthe bank\tby the banks\n", "yes\n", "line 1: got 'yes'; expected T or F"),
        ("bank\tN\t1-2\tthe bank\tby the banks\n", "T\nF\n", r"1 pairs and dev\.gold\.txt 2 labels; expected as many"),
    ],
)
def test_a_broken_wic(line, gold, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_wic(wic(tmp_path, line, gold))


LAYOUTS = {
    "plain": "old\tnew\t1.58\nsmart\tClever\t9.2\n",
    "blanks": "old new 1.58\nsmart clever 9.2\n",
    "header": "Word 1\tWord 2\tHuman (mean)\nold\tnew\t1.58\nsmart\tclever\t9.2\n",
    "simlex": "word1\tword2\tPOS\tSimLex999\tQ\nold\tnew\tA\t1.58\t2\nsmart\tclever\tA\t9.2\t3\n",
    "simverb": "old\tnew\tV\t1.58\tNONE\nsmart\tclever\tV\t9.2\tNONE\n",
    "parts of speech": "old-j new-j 1.58\nsmart-j clever-j 9.2\n",
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_similarity(case, tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text(LAYOUTS[case])
    found = read_similarity(path)
    assert list(zip(found.first, found.second, found.gold)) == [("old", "new", 1.58), ("smart", "clever", 9.2)]


def test_broken_similarity(tmp_path):
    path = tmp_path / "pairs.txt"
    for text, message in (
        ("a b 1\nc d\n", "line 2: got 'c d'"),
        ("a b 1\nc d x\n", "line 2: got 'x'; expected a number"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_similarity(path)


def test_entailment_and_sense_counts(tmp_path):
    (tmp_path / "positive-examples.txtinput").write_text("pope-n leader-n\n")
    (tmp_path / "negative-examples.txtinput").write_text("well-being-n stone-n\n")
    found = read_entailment(tmp_path)
    assert found.first.tolist() == ["pope", "well-being"] and found.gold.tolist() == [True, False]
    (tmp_path / "sense_counts.tsv").write_text("lemma\tpos\tn_senses\nbank\tn\t10\nBank\tv\t8\nnull\tn\t1\n")
    assert read_sense_counts(tmp_path).to_dict() == {"bank": 18, "null": 1}
    (tmp_path / "sense_counts.tsv").write_text("word\tcount\nbank\t3\n")
    with pytest.raises(ValueError, match="has the columns word, count; expected lemma, pos and n_senses"):
        read_sense_counts(tmp_path)
    (tmp_path / "positive-examples.txtinput").write_text("pope-n\n")
    with pytest.raises(ValueError, match="line 1: got 'pope-n'; expected two words"):
        read_entailment(tmp_path)
