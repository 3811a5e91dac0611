"""One offline page: words, sentences and baselines precomputed, drawn by a little inline script."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from labkit.density.grid import dimension
from labkit.view.contours import outlines, simplified, svg_path
from labkit.view.grids import (
    PROBS,
    DensityGrid,
    Limits,
    Projection,
    WordPoint,
    density_grid,
    equal_scale,
    modes_of,
    picture_of,
    project,
    shared_limits,
)
from labkit.view.labels import place_labels, text_width, wrapped
from labkit.view.theme import MODE_COLOURS, POINT_COLOUR, REGION_COLOURS
from labkit.view.wording import (
    NOTES,
    caption,
    context_explanation,
    context_headline,
    counted,
    explanation,
    headline,
    note,
    percent,
    summary,
)

WIDTH, HEIGHT = 1200, 900  # units of every picture; two digits to the base 36 hold them
TOLERANCE, COARSE = 0.6, 2.0  # units: outlines are thinned out by less than half a pixel, large and small
SIZES = ({"font": 28, "mark": 6.5}, {"font": 46, "mark": 10})  # units, on a wide and on a narrow screen
MARGIN = 0.03  # of the picture's width, around what there is to see
SHOWN = 0.03  # a mode with less mass than that gets no label in the picture
SENTENCES, IN_CONTEXT = 3, 250  # examples of a mode; samples of a word in a sentence
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


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

    Everything is computed here and sent as outlines and samples; the page draws it, keeps what is chosen in
    its address, and shows whatever a corpus contains as text. A density over k > 2 coordinates is drawn in
    one plane for all words of its model (`project`).

    Arguments:
        model: `model[word]` is a density, `model.name` its kind.
        words: which words, the first one being shown at first.
        path: the file to write.
        contexts: for some of the words, sentences in which to read them: `model[word].given(sentence)`.
        baselines: models to show small beside it; one whose `model[word]` has a `location` is a point.
        table: figures to compare the models, shown below; `table.attrs["caption"]` goes with it.
        n_samples: marks of a word.

    Returns:
        The path.

    Errors:
        ValueError: no words, sentences for a word that is not among them, or a density over one coordinate.
        KeyError: a word that a model does not know.
    """
    contexts = dict(contexts or {})
    if not words or set(contexts) - set(words):
        raise ValueError(
            f"export_html needs at least one word, and sentences only for words it shows; got words "
            f"{list(words)} and sentences for {sorted(contexts)}."
        )
    planes = [_plane(each, words) for each in (model, *(baselines or ()))]
    entries = [
        _word(model, word, contexts.get(word, ()), baselines or (), planes, n_samples, seed) for word in words
    ]
    data = {
        "size": [WIDTH, HEIGHT],
        "sizes": SIZES,
        "probs": [percent(prob) for prob in sorted(PROBS, reverse=True)],
        "colours": {"regions": REGION_COLOURS[::-1], "modes": MODE_COLOURS, "point": POINT_COLOUR},
        "words": entries,
        "table": None if table is None else _table(table),
        "notes": NOTES,
    }
    path = Path(path)
    path.write_text(_page(data), encoding="utf-8")
    return path


def _page(data: dict) -> str:
    here = Path(__file__).parent
    template, style, script = ((here / f"page.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    views = [word["views"][0] for word in data["words"]]
    parts = {
        "hash": f"sha256-{digest}",  # only this script may run, whatever a corpus smuggles in
        "title": html.escape(views[0]["title"]),
        "summaries": "".join(f"<p>{html.escape(view['summary'])}</p>" for view in views),
        "style": style,
        "script": script,
        "data": _json(data),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def _json(data) -> str:
    """JSON that may stand inside a script element: no "<" opens or closes anything in it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _plane(model, words: Sequence[str]) -> Projection | None:
    """The plane in which a model's words are drawn; None if they live in one or are points."""
    densities = [density for density in (model[word] for word in words) if not hasattr(density, "location")]
    if any(dimension(density) == 1 for density in densities):
        raise ValueError(f"export_html draws planes, and {model.name} has one coordinate: use plot_line.")
    return project(densities) if densities and dimension(densities[0]) > 2 else None


def _word(model, word: str, sentences: Sequence[str], baselines, planes, n_samples: int, seed: int) -> dict:
    density = model[word]
    settings = {"seed": seed, "basis": planes[0]}
    settings |= {"modes": modes_of(density)}  # once: their sentences take a while to find
    alone = density_grid(density, n_samples=n_samples, **settings)
    read = [
        density_grid(density.given(sentence), n_samples=IN_CONTEXT, recount=True, **settings)
        for sentence in sentences
    ]
    others = [
        picture_of(other[word], n_samples=0, seed=seed, basis=plane)
        for other, plane in zip(baselines, planes[1:], strict=True)
    ]
    places = [place for picture in (alone, *read, *others) for place in _extent(picture)]
    limits = equal_scale(shared_limits(places, MARGIN), WIDTH / HEIGHT)
    views = [_view(alone, limits) | {"title": headline(alone), "explanation": explanation(alone)}]
    for grid, sentence in zip(read, sentences, strict=True):
        said = {"title": context_headline(grid), "explanation": context_explanation(grid, alone)}
        views.append(_view(grid, limits) | said | {"context": sentence})
    count = counted(len(alone.modes), "region").capitalize()
    return {
        "word": word,
        "heading": f"{count}, and sentences from {'it' if len(alone.modes) == 1 else 'each'}",
        "note": f"The outline is {note([alone])}." if alone.is_marginal else "",
        "modes": [{"words": mode.words[:5], "sentences": mode.sentences[:SENTENCES]} for mode in alone.modes],
        "views": views,
        "others": [
            _other(each.name, each_of, limits) for each, each_of in zip(baselines, others, strict=True)
        ],
    }


def _extent(picture: DensityGrid | WordPoint) -> list[WordPoint]:
    """Places between which there is something to see: a point, or the samples and the widest region."""
    if isinstance(picture, WordPoint):
        return [_flat(picture)]
    rows, columns = np.nonzero(picture.log_prob >= picture.levels.min())
    seen = np.concatenate([np.stack([picture.x[columns], picture.y[rows]], axis=1), picture.samples])
    return [WordPoint("", corner) for corner in (seen.min(0), seen.max(0))]


def _flat(picture: DensityGrid | WordPoint) -> DensityGrid | WordPoint:
    """The picture itself; a vector of other than two numbers has no place in the plane and is put at 0."""
    if isinstance(picture, WordPoint) and picture.location.shape != (2,):
        return WordPoint(picture.word, np.zeros(2))
    return picture


def _other(name: str, picture: DensityGrid | WordPoint, limits: Limits) -> dict:
    entry = {"name": name.removesuffix("Embedding") or name, "caption": caption(picture)}
    if isinstance(picture, WordPoint):
        return entry | {
            "point": np.rint(_placed(_flat(picture).location[None], limits)[0]).astype(int).tolist()
        }
    return entry | {"regions": _regions(picture, limits, COARSE)}


def _view(grid: DensityGrid, limits: Limits) -> dict:
    places = _placed(grid.samples, limits)
    samples = ["".join(map(_digits, places[grid.sample_modes == i])) for i in range(len(grid.modes))]
    return {
        "regions": _regions(grid, limits),
        "samples": samples,
        "masses": [percent(mode.mass) for mode in grid.modes],
        "labels": [_boxes(grid, limits, size["font"]) for size in SIZES],
        "summary": summary(grid),
    }


def _placed(points: np.ndarray, limits: Limits) -> np.ndarray:
    """Points (N, 2) in units of the page, where y runs downwards."""
    (left, right), (bottom, top) = limits
    return (points - (left, top)) / (right - left, bottom - top) * (WIDTH, HEIGHT)


def _regions(grid: DensityGrid, limits: Limits, tolerance: float = TOLERANCE) -> list[str]:
    """One SVG path for each region, the largest first."""
    rings = (outlines(grid.log_prob, grid.x, grid.y, level) for level in np.sort(grid.levels))
    return [svg_path([simplified(_placed(ring, limits), tolerance) for ring in region]) for region in rings]


def _digits(place: np.ndarray) -> str:
    """Four characters for a sample: x and y, two digits to the base 36 each; the frame's edge if beyond."""
    x, y = np.clip(np.rint(place), 0, (WIDTH, HEIGHT)).astype(int).tolist()
    return "".join(DIGITS[n // 36] + DIGITS[n % 36] for n in (x, y))


def _boxes(grid: DensityGrid, limits: Limits, font: float) -> list[dict]:
    """The labels of the modes and where they go, in units."""
    shown = [i for i, mode in enumerate(grid.modes) if mode.mass >= SHOWN]
    lines = [[percent(grid.modes[i].mass), *wrapped(grid.modes[i].words, font, 9 * font)] for i in shown]
    widths = [max(text_width(line, font) + 1.4 * font * (line is rows[0]) for line in rows) for rows in lines]
    sizes = np.array(
        [(width + font, (1.3 * len(rows) + 0.4) * font) for width, rows in zip(widths, lines, strict=True)]
    )
    anchors = _placed(np.array([grid.modes[i].location for i in shown]).reshape(-1, 2), limits)
    inside = np.argwhere(grid.log_prob[::4, ::4] >= grid.levels.min())[:, ::-1] * 4
    region = _placed(np.stack([grid.x[inside[:, 0]], grid.y[inside[:, 1]]], axis=1), limits)
    avoid = np.concatenate([_placed(grid.samples, limits), region])
    centres = place_labels(anchors, sizes, (WIDTH, HEIGHT), avoid, gap=font / 2)
    return [
        {"mode": i, "lines": rows, "anchor": np.rint(anchor).tolist()}
        | dict(
            zip(("x", "y", "width", "height"), np.rint([*(centre - size / 2), *size]).tolist(), strict=True)
        )
        for i, rows, anchor, centre, size in zip(shown, lines, anchors, centres, sizes, strict=True)
    ]


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
    texts = [
        "–" if pd.isna(value) else f"{value:,.{decimals}f}" if numeric else str(value) for value in column
    ]
    return [text.replace("-", "−") for text in texts] if numeric else texts
