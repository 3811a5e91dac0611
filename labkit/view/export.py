"""One offline page: words, sentences and other models precomputed, drawn by the explorer's own script."""

import base64
import dataclasses
import hashlib
import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from labkit.density.grid import dimension
from labkit.view.explorer.fields import PROBS
from labkit.view.explorer.known import SENTENCES, WORDS
from labkit.view.explorer.session import Question, Session
from labkit.view.explorer.widget import front_end, style
from labkit.view.pictures import DensityGrid, DensityLine, ModeLabel
from labkit.view.projection import Limits
from labkit.view.theme import MODE_COLOURS, POINT_COLOUR, REGION_COLOURS
from labkit.view.wording import NOTES, context_explanation, context_headline, explanation, headline

HERE = Path(__file__).parent
IN_CONTEXT, IN_STEP = 250, 120  # marks of a word in a sentence, in a part of one
RESOLUTION = 121


def export_html(
    model,
    words: Sequence[str],
    path,
    contexts: Mapping[str, Sequence[str]] | None = None,
    baselines: Sequence | None = None,
    table: pd.DataFrame | None = None,
    n_samples: int = 500,
    seed: int = 0,
) -> Path:
    """Write a page that shows the densities of some words and needs no kernel, no server and no network.

    Everything is computed here; the page draws it with the script of `lk.explore`, keeps what is chosen in its
    address, and shows whatever a corpus contains as text. A density over one coordinate is drawn as a curve, one over
    k > 2 in the plane of the first principal axes of its model's words.

    Arguments:
        model: `model[word]` is a density, `model.name` its kind.
        words: which words, the first one being shown at first.
        path: the file to write.
        contexts: for some of the words, sentences in which to read them, `model[word].given(sentence)`, at once or
            word by word.
        baselines: models to show small beside it; one whose `model[word]` has a `location` is a point.
        table: figures to compare the models, shown below; `table.attrs["caption"]` goes with it.
        n_samples: marks of a word; one and the same seed draws the same ones.

    Returns:
        The path.

    Raises:
        ValueError: no words, or sentences for a word that is not among them.
        KeyError: a word that a model does not know.
    """
    contexts, baselines = dict(contexts or {}), list(baselines or ())
    if not words or set(contexts) - set(words):
        raise ValueError(
            f"export_html needs at least one word, and sentences only for words it shows; got words "
            f"{list(words)} and sentences for {sorted(contexts)}."
        )
    session = Session([model, *baselines], words, RESOLUTION, thin=True, seed=seed)
    answers, texts, vocabulary = {}, {}, []
    for word in words:
        alone = _question(model, word, "", n_samples, range(1, 1 + len(baselines)))
        before = _answer(session, alone, answers)
        texts[_key(alone)] = {"title": headline(before), "explanation": explanation(before)}
        vocabulary.append({"word": word, "count": 0, "modes": len(before.modes), "entropy": before.entropy})
        for sentence in contexts.get(word, ()):
            same = _key(alone)  # until a word of the sentence is known
            for read in _steps(session, _question(model, word, sentence, min(n_samples, IN_CONTEXT))):
                if isinstance(read, str):
                    answers.setdefault(read, same)
                    continue
                now = _answer(session, read, answers, session.frames.limits(alone))
                same = _key(read)
                texts[same] = {"title": context_headline(now), "explanation": context_explanation(now, before)}
    data = {
        "answers": answers, "texts": texts, "vocabulary": vocabulary, "notes": NOTES,
        "contexts": {word: list(contexts.get(word, ())) for word in words},
        "colours": {"regions": REGION_COLOURS[::-1], "modes": MODE_COLOURS, "point": POINT_COLOUR},
        "models": [{"name": str(each.name), "k": 0, "beside": i > 0} for i, each in enumerate((model, *baselines))],
        "table": None if table is None else _table(table),
    }  # fmt: skip
    path = Path(path)
    path.write_text(_page(data), encoding="utf-8")
    return path


def _question(model, word: str, sentence: str, samples: int, others: Sequence[int] = ()) -> Question:
    plane = "pca" if dimension(model[word]) > 2 else "coordinates"
    return Question(word, sentence, others=tuple(others), plane=plane, samples=samples)


def _steps(session: Session, whole: Question) -> Iterator[Question | str]:
    """A sentence word by word: questions, or the keys of those that have the answer of the one before them.

    A word that the model does not know, and the word itself, move nothing.
    """
    words = session.known(whole.model, whole.word).pull(whole.context)
    knows_all = not hasattr(session.models[whole.model], "vocabulary_")
    for number in range(1, len(words)):
        step = dataclasses.replace(whole, context=" ".join(w["text"] for w in words[:number]), samples=IN_STEP)
        yield step if knows_all or words[number - 1].get("known") else _key(step)
    yield whole


def _key(q: Question) -> str:
    """Under which name the page looks for an answer: the same text as its script makes."""
    return json.dumps([q.word, q.context], ensure_ascii=False, separators=(",", ":"))


def _answer(session: Session, q: Question, answers: dict, limits: Limits | None = None) -> DensityGrid | DensityLine:
    """Put the answer to a question among the others, and give what is said of it its arrays."""
    # sentences are those of the word alone: again in every context they would fill the page
    header, block = session.picture(q, WORDS if q.context else SENTENCES, limits)
    header["detail"], panel = SENTENCES, header["panels"][0]
    answers[_key(q)] = {"header": header, "bytes": base64.b64encode(block).decode()}
    reading = session.reading(q)
    moved = session.moved(q)[0] if q.context else None
    seen = moved.field if moved else reading.field
    modes = tuple(
        ModeLabel(np.array(m["at"]), m["mass"], tuple(m["words"]), drop=np.inf if m["drop"] is None else m["drop"])
        for m in panel["modes"]
    )
    common = dict(
        word=q.word, log_prob=seen.log_prob, probs=PROBS, levels=seen.levels(PROBS), modes=modes, entropy=seen.entropy,
        sample_modes=np.zeros(q.samples, dtype=int), mass_check=float(seen.mass.sum()),
    )  # fmt: skip
    if reading.k == 1:
        return DensityLine(z=seen.axes[0], samples=np.zeros((q.samples, 1)), **common)
    x, y = seen.axes
    return DensityGrid(x=x, y=y, samples=np.zeros((q.samples, 2)), is_marginal=reading.is_marginal, **common)


def _page(data: dict) -> str:
    template, own = ((HERE / f"page.{kind}").read_text("utf-8") for kind in ("html", "css"))
    script = front_end() + (HERE / "page.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    shown = [Question(word, sentence) for word, more in data["contexts"].items() for sentence in ("", *more)]
    said = [data["answers"][_key(q)]["header"]["panels"][0]["said"] for q in shown]
    titles = [text["title"] for text in data["texts"].values()]
    parts = {
        "hash": f"sha256-{digest}",  # only this script may run, whatever a corpus smuggles in
        "title": html.escape(titles[0]),
        "summaries": "".join(f"<p>{html.escape(text)}</p>" for text in said),
        "style": style() + own,
        "script": script,
        "data": _json(data),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def _json(data) -> str:
    """JSON that may stand inside a script element: no "<" opens or closes anything in it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _table(table: pd.DataFrame) -> dict:
    """A table as texts: figures to four digits, the index as first column if it says anything."""
    if not isinstance(table.index, pd.RangeIndex):
        table = table.reset_index()
    numeric = [pd.api.types.is_numeric_dtype(kind) and str(kind) != "bool" for kind in table.dtypes]
    columns = [_texts(table.iloc[:, i], numeric[i]) for i in range(table.shape[1])]
    return {"columns": [str(name) for name in table.columns], "rows": list(zip(*columns, strict=True)),
            "numeric": numeric, "caption": str(table.attrs.get("caption", ""))}  # fmt: skip


def _texts(column: pd.Series, numeric: bool) -> list[str]:
    """A column's cells: numbers with as many decimals as give the largest four digits."""
    largest = column.abs().max() if numeric else 0
    decimals = 0
    if numeric and not pd.api.types.is_integer_dtype(column.dtype) and 0 < largest < np.inf:
        decimals = int(np.clip(3 - np.floor(np.log10(largest)), 0, 6))
    texts = ["–" if pd.isna(value) else f"{value:,.{decimals}f}" if numeric else str(value) for value in column]
    return [text.replace("-", "−") for text in texts] if numeric else texts
