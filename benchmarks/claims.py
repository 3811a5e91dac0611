"""Four claims of stochastic embeddings, four tests: whichever way the figures fall, with 95 % intervals.

    disambiguation   SCWS (AvgSimC, MaxSimC), WiC, and lexical entailment by inclusion of densities, beside clusters of
                     skip-gram context means, point vectors, frequency alone and cosine
    uncertainty      entropy of p(z∣w) against the number of WordNet senses, raw and with log frequency held fixed;
                     the mass of modes against the frequency of senses
    transitions      from one context to another: is the largest step of p(z∣w,c_t) at most 3 times the median one?
    occurrence_senses  the modes of densities of occurrences on a few pairs of SCWS: a density is fitted for each word
    generalisation   held-out nats and senses against corpus size, on the built-in corpus and on real text

Models of the real text (a flow, a Gaussian, a point model of as many parameters, a skip-gram) are trained once for each
seed and shared by the claims. No label is seen in training, nothing is tuned on test labels: WiC's threshold is chosen
on its dev part, as its rules have it, that of entailment on the other nine tenths, and steps on held-out text.
ARI and AMI on CoarseWSD are in benchmarks/senses.py.

    smoke     a few steps, one seed, to see that everything runs
    minutes   one seed
    table     five seeds of the built-in corpus, two of the real text

Cells (claim, seed) and models that are finished are read from --folder; those of other settings are made anew. Sets are
read from LABKIT_DATA; one that is not there is an error that says how to get it, but with --skip-missing only a line.

    LABKIT_DATA=DIR python benchmarks/claims.py [--corpus FILE_OR_NAME]... [--preset table] [--claims NAME...]
                    [--skip-grams FOLDER_OF_BENCHMARKS_SENSES] [--folder runs/claims] [--json] [--markdown FILE]
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import claim_cells
import numpy as np
import pandas as pd
from claim_models import MODELS, PRESETS, Kept, Preset, real_text, sense_set, whole_text, write

from labkit.evaluate import paired_difference

CLAIMS = ("disambiguation", "uncertainty", "transitions", "occurrence_senses", "generalisation")
ON_REAL_TEXT = CLAIMS[:4]
FIGURES = {  # of each table, those that are printed; "low" and "high" stand beside them where there is an interval
    "scws": ("avg_sim_c", "max_sim_c", "contexts", "pairs"),
    "scws, fewer pairs": ("avg_sim_c", "max_sim_c", "contexts", "pairs"),
    "wic": ("accuracy", "commoner", "pairs"),
    "entailment": ("ap", "auc", "accuracy", "pairs"),
    "entropy": ("rho", "partial", "frequency", "words"),
    "calibration": ("error", "variation", "one_mode", "correlation", "found", "senses"),
    "transitions": ("smooth", "lower", "ratio", "upper", "length", "paths"),
    "built-in": ("above_optimum", "ari", "clusters", "steps", "parameters"),
    "real text": ("nats", "steps", "parameters"),
}
TITLES = {
    "scws": "SCWS: Spearman's ρ with people's ratings",
    "scws, fewer pairs": "SCWS, fewer pairs: Spearman's ρ",
    "wic": "WiC: accuracy on test",
    "entailment": "Lexical entailment (Baroni et al. 2012)",
    "entropy": "Figures of a word against its number of WordNet senses, Spearman's ρ",
    "calibration": "Mass of modes against the frequency of senses",
    "transitions": "Steps along paths between contexts: share with largest ≤ 3 × median, and quartiles of that ratio",
    "built-in": "Built-in corpus: nats a context word above the optimum, by share of the corpus",
    "real text": "Real text: held-out nats a context word, by share of the text",
}
KEYS = ["table", "system", "group", "share"]


def plan(preset: Preset, claims: list[str]) -> list[tuple]:
    """The cells: (claim, seed) and (claim, model, share, seed), those that share models of a seed together."""
    cells = [(claim, seed) for seed in range(preset.real_seeds) for claim in ON_REAL_TEXT if claim in claims]
    if "generalisation" in claims:
        cells += [("built-in", name, share, seed)
                  for seed in range(preset.seeds) for share in preset.shares for name in MODELS]  # fmt: skip
        cells += [("real", name, share, seed) for seed in range(preset.real_seeds)
                  for share in (*dict(preset.real_shares), 1.0) for name in MODELS]  # fmt: skip
    return cells


class Bench:
    """Runs cells; the real text is read when a cell first asks for it."""

    def __init__(self, options: argparse.Namespace):
        self.options, self.preset, self.work = options, PRESETS[options.preset], None
        if options.seeds is not None:
            few = {name: min(options.seeds, getattr(self.preset, name)) for name in ("seeds", "real_seeds")}
            self.preset = replace(self.preset, **few)

    def rows(self, cell: tuple) -> list[dict]:
        """Of a cell, from its file or made now; none if it is not there and only finished ones are asked for."""
        claim, *rest = cell
        path = self.options.folder / "cells" / ("-".join(map(str, cell)) + ".json")
        settings = json.loads(json.dumps(self._settings(claim)))
        if path.exists() and (kept := json.loads(path.read_text(encoding="utf-8")))["settings"] == settings:
            return kept["rows"]
        if self.options.finished:
            return []
        started, processor = time.perf_counter(), time.process_time()
        if claim == "built-in":
            rows = claim_cells.built_in(self.preset, *rest)
        elif claim == "real":
            rows = claim_cells.real(self._work(), *rest)
        else:
            rows = getattr(claim_cells, claim)(self._work(), *rest)
        rows = [{**row, "seed": cell[-1]} for row in rows]
        took = {"seconds": time.perf_counter() - started, "processor": time.process_time() - processor}
        write(path, {"settings": settings, "rows": json.loads(json.dumps(rows, default=float)), **took})
        return json.loads(path.read_text(encoding="utf-8"))["rows"]

    def _settings(self, claim: str) -> dict:
        """What the rows of a claim depend on."""
        preset = asdict(self.preset)
        if claim == "built-in":
            return {"ladder": preset["ladder"]}
        shared = {"corpus": self.options.corpus, "steps": preset["steps"], "max_size": preset["max_size"]}
        if claim == "real":
            return {**shared, "shares": preset["real_shares"]}
        shared["skip_grams"] = self.options.skip_grams is not None
        if claim == "occurrence_senses":
            return {**shared, "pairs": preset["occurrence_pairs"]}
        return {**shared, "pairs": preset["pairs"], "words": preset["words"], "paths": preset["paths"]}

    def _work(self) -> claim_cells.Work:
        if self.work is None:
            options = self.options
            learn, held = real_text(options.corpus, self.preset, options.coarsewsd)
            kept = Kept(learn, self.preset, options.folder)
            found = sense_set(options.coarsewsd)
            again = partial(whole_text, options.corpus, options.coarsewsd)
            self.work = claim_cells.Work(self.preset, learn, held, kept, found, options.skip_grams,
                                         lambda vocabulary: again(vocabulary=vocabulary))  # fmt: skip
        return self.work

    def run(self) -> dict:
        """All cells: {"preset", "corpus", "rows", "skipped"}."""
        rows, skipped = [], {}
        for cell in plan(self.preset, self.options.claims):
            name = "-".join(map(str, cell))
            try:
                rows += self.rows(cell)
            except FileNotFoundError as error:
                if not self.options.skip_missing:
                    raise
                skipped[name] = str(error)
            print(f"{name}: {'left out' if name in skipped else 'done'}", flush=True, file=sys.stderr)
        if not rows:
            raise ValueError(f"no cell could be made: {'; '.join(dict.fromkeys(skipped.values()))}")
        return {"preset": self.options.preset, "corpus": self.options.corpus, "rows": rows, "skipped": skipped}

    def command(self) -> str:
        """What makes the same figures again."""
        options = self.options
        words = ["python benchmarks/claims.py", f"--preset {options.preset}"]
        words += [f"--seeds {options.seeds}"] if options.seeds is not None else []
        words += [f"--corpus {corpus}" for corpus in options.corpus]
        if list(options.claims) != list(CLAIMS):
            words.append(f"--claims {' '.join(options.claims)}")
        return " ".join(words + (["--skip-grams runs/senses"] if options.skip_grams else []))


def table_of(rows: list[dict]) -> pd.DataFrame:
    """Means over seeds of all figures and of the ends of their intervals, standard errors over seeds, and `seeds`."""
    table = pd.DataFrame(rows).drop(columns="seed")
    for key in KEYS:
        table[key] = table[key].astype(object).fillna("") if key in table else ""
    groups = table.groupby(KEYS, sort=False)
    return groups.mean().join(groups.sem().add_suffix("_stderr")).join(groups.size().rename("seeds")).reset_index()


def ahead(rows: list[dict], table: str, figure: str) -> list[str]:
    """A line for each share and rival: how far the flow is ahead, paired over seeds, with its 95 % interval."""
    frame, lines = pd.DataFrame([row for row in rows if row["table"] == table]), []
    if not len(frame) or figure not in frame:
        return lines
    for share, part in frame.groupby("share"):
        wide = part.pivot_table(index="seed", columns="system", values=figure)
        for rival in wide.columns.drop("flow", errors="ignore"):
            both = wide[["flow", rival]].dropna() if "flow" in wide else wide[:0]
            if len(both) > 1:
                mean, low, high = paired_difference(both["flow"].to_numpy(), both[rival].to_numpy())
                lines.append(
                    f"- {share:.0%}, flow before {rival}: {mean:+.4f} [{low:+.4f}, {high:+.4f}] ({len(both)} seeds)"
                )
    return lines


def markdown(report: dict) -> str:
    """All tables, and the paired differences of generalisation."""
    table, lines = table_of(report["rows"]), []
    for name, figures in FIGURES.items():
        part = table[table.table == name]
        if not len(part):
            continue
        figures = [figure for figure in figures if figure in part and part[figure].notna().any()]
        keys = [key for key in KEYS[1:] if (part[key] != "").any()]
        lines += [f"**{TITLES[name]}** ({part.seeds.min():.0f} seed(s))", "", f"| {' | '.join(keys + figures)} |"]
        lines.append("|" + "---|" * len(keys) + "---:|" * len(figures))
        for _, row in part.iterrows():
            cells = [f"{row[key]:.0%}" if key == "share" else str(row[key]) for key in keys]
            lines.append(f"| {' | '.join(cells + [_shown(row, figure) for figure in figures])} |")
        lines.append("")
    for name, figure in (("built-in", "nats"), ("real text", "nats")):
        found = ahead(report["rows"], name, figure)
        lines += [f"{TITLES[name].split(':')[0]}, nats, paired over seeds:", "", *found, ""] if found else []
    lines += [f"Left out: {name}, {reason}" for name, reason in report["skipped"].items()]
    return "\n".join(lines).rstrip() + "\n"


def _shown(row: pd.Series, figure: str) -> str:
    value, error = row[figure], row.get(f"{figure}_stderr", np.nan)
    if pd.isna(value):
        return ""
    if figure in ("pairs", "words", "senses", "paths", "parameters", "steps"):
        return f"{value:,.0f}"
    text = "∞" if np.isinf(value) else f"{value:.3f}"
    if pd.notna(row.get(f"{figure}_low", np.nan)):
        text += f" [{row[f'{figure}_low']:.3f}, {row[f'{figure}_high']:.3f}]"
    elif pd.notna(error) and np.isfinite(error):
        text += f" ± {error:.3f}"
    return text


def main(arguments: list[str] | None = None) -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", action="append", help="a text file or a known name; may be repeated (wikinews)")
    parser.add_argument("--coarsewsd", type=Path, help="a folder in the layout of CoarseWSD-20; default: by name")
    parser.add_argument("--preset", choices=PRESETS, default="minutes")
    parser.add_argument("--claims", nargs="+", choices=CLAIMS, default=list(CLAIMS))
    parser.add_argument("--seeds", type=int, metavar="N", help="no more than so many of the preset's seeds")
    parser.add_argument("--skip-grams", type=Path, help="the folder of benchmarks/senses.py, whose skip-grams to use")
    parser.add_argument("--skip-missing", action="store_true", help="leave out cells whose sets are not there")
    parser.add_argument("--folder", type=Path, default=Path("runs/claims"))
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--markdown", type=Path, help="write the tables there too")
    parser.add_argument("--finished", action="store_true", help="tables of the cells that are there; make none")
    parser.add_argument("--results", type=Path, help="write means and command there: data/results/claims.json")
    options = parser.parse_args(arguments)
    options.corpus = options.corpus or ["wikinews"]
    bench = Bench(options)
    report = bench.run()
    page = markdown(report)
    if options.markdown:
        options.markdown.write_text(page, encoding="utf-8")
    rows = json.loads(table_of(report["rows"]).to_json(orient="records"))
    if options.results:
        rounded = [{k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items() if v is not None}
                   for row in rows]  # fmt: skip
        options.results.parent.mkdir(parents=True, exist_ok=True)
        options.results.write_text(json.dumps({"command": bench.command(), "means": rounded}, indent=1) + "\n")
    print(json.dumps({**report, "means": rows}) if options.json else page)


if __name__ == "__main__":
    main()
