"""The league table of sense induction: every system on the same text, several seeds, means and standard errors.

Every system of `labkit.evaluate.systems` learns from the same text, which is some corpora and the sentences of the set
without labels, and sorts all occurrences of each word; the clusters are scored on the test occurrences. The means are
over words; words of which one sense holds more than 84 % are also reported apart. Systems that are told the number of
senses are marked "k given", and are yardsticks. Seconds are from scratch: the skip-gram that several systems share
counts for each of them.

    smoke     a few steps, one seed, to see that everything runs
    minutes   one seed, one pass of the skip-gram over the text
    table     five seeds, at the settings of `python -m labkit evaluate senses`

A cell (system, seed) that is finished is read from its file in --folder, as is the skip-gram of a seed; cells of other
settings or another text are made anew.

    python benchmarks/senses.py --coarsewsd DIR [--corpus FILE_OR_NAME]... [--preset table] [--systems NAME...]
                                [--folder runs/senses] [--finished] [--untouched WORD...] [--json] [--markdown FILE]
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import senses_paired

from labkit.embeddings import Embedding, PointEmbedding
from labkit.embeddings.peers import at_scale
from labkit.evaluate.clusters import METRICS
from labkit.evaluate.induction import macro_parts, score_inducer, skipped, text_of
from labkit.evaluate.systems import ALONE, SYSTEMS, left_out, make
from labkit.text import Corpus
from labkit.text.occurrences import SenseSet
from labkit.text.sense_sets import read_coarsewsd


@dataclass(frozen=True)
class Preset:
    """How much work: seeds, and the steps of the skip-gram as passes over the text (None: as `at_scale` has it)."""

    seeds: int
    passes: float | None
    steps: int | None = None


PRESETS = {"smoke": Preset(1, None, 30), "minutes": Preset(1, 1.0), "table": Preset(5, None)}


def skip_gram_of(seed: int, corpus: Corpus, preset: Preset, folder: Path, settings: dict) -> PointEmbedding:
    """The skip-gram of a seed, fitted, from its folder if one of these settings is there."""
    place, note = folder / f"skip-gram-{seed}", folder / f"skip-gram-{seed}.json"
    if _kept(note, settings):
        model = Embedding.load(place)
        model.corpus_, model.seconds_ = corpus, json.loads(note.read_text())["seconds"]
        return model
    model = at_scale(corpus, seed)
    if preset.steps or preset.passes:
        model.set_params(steps=preset.steps or max(1, round(preset.passes * model.steps_per_pass(corpus))))
    model.fit(corpus, progress=False)
    model.save(place)
    _write(note, {"settings": settings, "seconds": model.seconds_, "steps": model.steps})
    return model


def cell(name: str, seed: int, skip_gram, corpus: Corpus, sense_set: SenseSet, words: list[str]) -> dict:
    """One system with one seed: figures a word, and seconds of the training from scratch."""
    started = time.perf_counter()
    system = make(name, skip_gram, seed).fit(corpus, progress=False)
    seconds = time.perf_counter() - started + (0 if name in ALONE else skip_gram.seconds_)
    table = score_inducer(system, sense_set, words)
    return {"system": name, "title": system.name, "number_given": system.number_given, "seed": seed,
            "fit_seconds": seconds, "words": table.to_dict(orient="index")}  # fmt: skip


def run(
    sense_set: SenseSet, corpora: list[str], preset: str, systems: list[str], folder: Path, finished: bool = False
) -> dict:  # fmt: skip
    """All cells, those that are there read and the others made: {"cells": [...], "skipped": {...}, "text": {...}}.

    Arguments:
        finished: take those that are there, and make none.
    """
    corpus = text_of(sense_set.sentences(), corpora, min_count=5)
    plan = PRESETS[preset]
    settings, words = settings_of(plan, corpus, sense_set)
    folder.mkdir(parents=True, exist_ok=True)
    cells = []
    for seed in range(plan.seeds):
        skip_gram = None
        for name in systems:
            path = folder / f"{name}-{seed}.json"
            if finished and not _kept(path, settings):
                continue
            if not _kept(path, settings):
                skip_gram = skip_gram or skip_gram_of(seed, corpus, plan, folder, settings)
                _write(path, {"settings": settings} | cell(name, seed, skip_gram, corpus, sense_set, words))
            cells.append(json.loads(path.read_text(encoding="utf-8")))
            print(f"{name}, seed {seed}: done", flush=True, file=sys.stderr)
    return {"set": sense_set.name, "preset": preset, "text": settings["text"], "skipped": skipped(sense_set, corpus),
            "cells": cells,
            "words_per_second": speed(corpus, folder, range(plan.seeds), settings)}  # fmt: skip


def settings_of(plan: Preset, corpus: Corpus, sense_set: SenseSet) -> tuple[dict, list[str]]:
    """What a cell depends on beside its system and seed, and the words that can be scored.

    Raises:
        ValueError: there are none.
    """
    left_out = skipped(sense_set, corpus)
    words = [word for word in sense_set.words if word not in left_out]
    if not words:
        raise ValueError(f"no word can be scored: {left_out}")
    text = {"sentences": len(corpus), "tokens": corpus.n_tokens, "vocabulary": len(corpus.vocabulary)}
    return {"preset": asdict(plan), "text": text, "words": words}, words


def _kept(path: Path, settings: dict) -> bool:
    return path.exists() and json.loads(path.read_text(encoding="utf-8"))["settings"] == settings


def _write(path: Path, content: dict) -> None:
    """Whole or not at all."""
    fresh = path.with_suffix(".part")
    fresh.write_text(json.dumps(content), encoding="utf-8")
    fresh.replace(path)


def speed(corpus: Corpus, folder: Path, seeds, settings: dict) -> float | None:
    """Words of text per second of the skip-gram's training, over all passes and seeds; None if there is none."""
    notes = [folder / f"skip-gram-{seed}.json" for seed in seeds]
    notes = [json.loads(note.read_text()) for note in notes if _kept(note, settings)]
    if not notes:
        return None
    passes = notes[0]["steps"] / at_scale(corpus).steps_per_pass(corpus)
    return passes * corpus.n_tokens / (sum(note["seconds"] for note in notes) / len(notes))


def table_of(cells: list[dict]) -> pd.DataFrame:
    """Means over seeds of the macro figures and their standard errors (`ari_stderr` …), a row a system and part.

    Parts are "all" words, the "balanced" ones and the "rare" ones (see `macro_parts`).
    """
    rows = []
    for done in cells:
        parts = macro_parts(pd.DataFrame(done["words"]).T.infer_objects())
        parts["seconds"] += done["fit_seconds"]
        parts = parts.rename_axis("part").reset_index()
        rows += (parts.assign(system=done["system"], title=done["title"])).to_dict(orient="records")
    groups = pd.DataFrame(rows).groupby(["part", "system", "title"], sort=False)
    figures = [*METRICS, "seconds"]
    means, errors = groups[figures].mean(), groups[figures].sem()
    return means.join(errors.add_suffix("_stderr")).join(groups.words.first()).join(groups.size().rename("seeds"))


def markdown(report: dict, table: pd.DataFrame, untouched: list[str]) -> str:
    """The table as Markdown, one for each part, the best ARI first; then pairs of systems, and word by word."""
    titles = {"all": "All words", "balanced": "Words without a rare sense", "rare": "Words with a rare sense"}
    text, lines = report["text"], []
    for part, title in titles.items():
        if part not in table.index.get_level_values("part"):
            continue
        rows = table.xs(part, level="part").sort_values("ari", ascending=False)
        lines += [f"**{title}** ({int(rows.words.iloc[0])} of {report['set']})", ""]
        lines += ["| system | ARI | AMI | V | paired F | B-cubed | clusters | seconds | seeds |", "|---|" + "---:|" * 8]
        for (_, name), row in rows.iterrows():
            figures = [_with_error(row, figure) for figure in METRICS]
            lines.append(f"| {name} | {' | '.join(figures)} | {row.seconds:.0f} | {int(row.seeds)} |")
        lines.append("")
    lines += [*senses_paired.markdown(report["cells"], untouched), ""]
    lines.append(f"Text: {text['tokens']:,} words of {text['vocabulary']:,} kinds."
                 + (f" The skip-gram reads {report['words_per_second']:,.0f} words a second."
                    if report["words_per_second"] else ""))  # fmt: skip
    lines += [f"Left out: {word}, {reason}." for word, reason in report["skipped"].items()]
    return "\n".join(lines) + "\n"


def _with_error(row: pd.Series, figure: str) -> str:
    digits = 1 if figure == "clusters" else 3
    error = row[f"{figure}_stderr"]
    return f"{row[figure]:.{digits}f}" + (f" ± {error:.{digits}f}" if error == error and error > 0 else "")


def main(arguments: list[str] | None = None) -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coarsewsd", type=Path, required=True, help="a folder in the layout of CoarseWSD-20")
    parser.add_argument("--corpus", action="append", default=[], help="a text file or a known name; may be repeated")
    parser.add_argument("--preset", choices=PRESETS, default="minutes")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, help="default: all that can run here")
    parser.add_argument("--folder", type=Path, default=Path("runs/senses"))
    parser.add_argument("--untouched", nargs="+", default=[], metavar="WORD", help="words to report apart as well")
    parser.add_argument("--finished", action="store_true", help="a table of the cells that are there; make none")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--markdown", type=Path, help="write the table there too")
    options = parser.parse_args(arguments)
    without = {} if options.systems else left_out()
    systems = options.systems or [name for name in SYSTEMS if name not in without]
    sense_set = read_coarsewsd(options.coarsewsd)
    report = run(sense_set, options.corpus, options.preset, systems, options.folder, options.finished)
    report["skipped"] |= {f"system {name}": reason for name, reason in without.items()}
    table = table_of(report["cells"])
    page = markdown(report, table, options.untouched)
    if options.markdown:
        options.markdown.write_text(page, encoding="utf-8")
    rows = json.loads(table.reset_index().to_json(orient="records"))
    print(json.dumps(report | {"rows": rows}) if options.json else page)


if __name__ == "__main__":
    main()
