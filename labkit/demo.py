"""The main job, end to end: from plain text to a two-moded *bank*, beside its baselines."""

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from labkit.embeddings import GaussianEmbedding, MixtureEmbedding, PointEmbedding, StochasticEmbedding
from labkit.evaluate import (
    LabelledWindows,
    by_known_cues,
    grammar_windows,
    handwritten_windows,
    mode_f1,
    mode_masses,
    naive_bayes_ceiling,
    nats_per_word,
    optimum,
    paired_difference,
    sense_recovery,
    standard_error,
    trivial_baselines,
)
from labkit.text import load_corpus
from labkit.text.senses import PER_WORD
from labkit.view import export_html

MODELS = {"flow": StochasticEmbedding, "gaussian": GaussianEmbedding, "mixture": MixtureEmbedding,
          "point": PointEmbedding}  # fmt: skip
SHOWN = ("bank", "spring", "bat", "seal", "pitch", "trunk", "light", "tuesday", "violin")
CONTEXTS = {
    "bank": ["we sat on the grassy bank of the river", "the bank raised the interest on my loan"],
    "spring": ["tulips bloom in spring", "the mattress has a broken spring", "water rose from the spring"],
}
HELD_OUT = 300  # grammar windows a word


def run_demo(
    seeds: Sequence[int] = (0,), device: str = "auto", steps: int | None = None, out: Path = Path("out"),
    quiet: bool = False, per_word: int = PER_WORD, jobs: int = 1,
) -> dict:  # fmt: skip
    """Train, show, compare. The page is written as soon as the flow is trained; the baselines follow.

    Arguments:
        seeds: train all models anew with each.
        device: "auto", "cpu" or "cuda".
        steps: of every model; None for each one's own.
        out: folder of the page.
        quiet: print nothing.
        per_word: grammar sentences a word, in training.
        jobs: processes among which the seeds after the first are shared out.

    Returns:
        seconds (of the flow's training), modes {word: count}, mode_f1, ari {grammar, handwritten}, nats and stderr
        {point, gaussian, mixture, flow, optimum} (nats per context word, held out; lower is better), all for the
        first seed; with several seeds also `seeds`, the same figures for each, and paired differences with their
        95 % intervals over seeds.
    """
    say = (lambda *text: None) if quiet else print
    started = time.perf_counter()
    settings = {"device": device} | ({} if steps is None else {"steps": steps})
    corpus = load_corpus("senses", per_word=per_word)
    say(f"{corpus}\nread in {time.perf_counter() - started:.0f} s")

    def show(flow) -> None:
        _show_senses(flow, say)
        _write_page({"flow": flow}, out, None)
        took = time.perf_counter() - started
        say(f"\nwrote {out / 'bank.html'} after {took:.0f} s: open it in a browser\n")

    fitted, run = _run_seed(corpus, seeds[0], settings, say, progress=not quiet, show=show)
    _write_page(fitted, out, _table(run, fitted))
    say(_table(run, fitted).round(4).to_string())
    say(f"optimum {run['nats']['optimum']:.4f}; lower is better; wrote {out / 'bank.html'} with the baselines beside")
    if len(seeds) == 1:
        return run
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        others = pool.map(_run_alone, [(per_word, seed, settings) for seed in seeds[1:]])
        runs = [run, *tqdm(others, total=len(seeds) - 1, desc="other seeds", disable=quiet)]
    report = run | {"seeds": runs} | _over_seeds(runs)
    _show_seeds(report, say)
    return report


def _run_seed(corpus, seed: int, settings: dict, say, progress: bool = False, show=None) -> tuple[dict, dict]:
    """All models trained with one seed, and their figures; `show(flow)` is called as soon as the flow is there."""
    fitted = {}
    for name, kind in MODELS.items():
        say(f"training {kind.__name__}, seed {seed}")
        fitted[name] = kind(seed=seed, **settings).fit(corpus, progress=progress)
        if show and name == "flow":
            show(fitted["flow"])
    drawn = grammar_windows(corpus.vocabulary, HELD_OUT)
    return fitted, {"seed": seed} | _look_at_senses(fitted["flow"], drawn) | _compare(fitted, drawn)


def _run_alone(task: tuple[int, int, dict]) -> dict:
    """The figures of one seed, in a process of its own."""
    per_word, seed, settings = task
    torch.set_num_threads(1)
    return _run_seed(load_corpus("senses", per_word=per_word), seed, settings, lambda *text: None)[1]


def _look_at_senses(flow, drawn: list[LabelledWindows]) -> dict:
    written = handwritten_windows(flow.vocabulary_)
    on_grammar, on_written = mode_masses(flow, drawn), mode_masses(flow, written)
    cues = by_known_cues(written, on_written)
    f1, recovery = mode_f1(drawn, on_grammar), sense_recovery(drawn, on_grammar)[0]
    train = handwritten_windows(flow.vocabulary_, "train")
    ceiling = naive_bayes_ceiling(train, written, len(flow.vocabulary_))
    return {
        "seconds": flow.seconds_,
        "modes": {word: mass.shape[1] for word, mass in on_grammar.items()},
        "mode_f1": f1["f1"],
        "mode_precision": f1["precision"],
        "mode_recall": f1["recall"],
        "ari": {"grammar": recovery["ari"], "handwritten": cues.ari["1+ cues"]},
        "senses_grammar": recovery,
        "senses_handwritten": cues.T.to_dict(),
        "trivial": trivial_baselines(drawn).T.to_dict(),
        "naive_bayes": {"ari": float(ceiling.ari.mean()), "accuracy": float(ceiling.accuracy.mean())},
    }


def _compare(fitted: dict, windows: list[LabelledWindows]) -> dict:
    values = {name: nats_per_word(model, windows) for name, model in fitted.items()}
    best = values["optimum"] = optimum(windows)
    over = {name: v - best for name, v in values.items() if name != "optimum"}
    return {
        "nats": {name: float(v.mean()) for name, v in values.items()},
        "stderr": {name: standard_error(v) for name, v in values.items()},
        "paired_stderr": {n: standard_error(v - values["flow"]) for n, v in values.items() if n != "flow"},
        "below_optimum": [n for n, d in over.items() if d.mean() < -3 * standard_error(d)],  # a bug where not empty
        "parameters": {name: model.n_parameters_ for name, model in fitted.items()},
        "train_seconds": {name: model.seconds_ for name, model in fitted.items()},
        "jensen_shannon_bits": {w: fitted["flow"][w].js_divergence() for w in ("bank", "spring", "tuesday")},
    }


def _table(run: dict, fitted: dict) -> pd.DataFrame:
    rows = {name: {"nats per word": run["nats"][name], "above optimum": run["nats"][name] - run["nats"]["optimum"],
                   "parameters": model.n_parameters_, "seconds": model.seconds_}
            for name, model in fitted.items()}  # fmt: skip
    table = pd.DataFrame(rows).T.sort_values("nats per word")
    table.index.name = "model"
    return table.astype({"parameters": int})


def _write_page(fitted: dict, out: Path, table: pd.DataFrame | None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    baselines = [model for name, model in fitted.items() if name != "flow"]
    export_html(fitted["flow"], list(SHOWN), out / "bank.html", contexts=CONTEXTS, baselines=baselines, table=table)


def _show_senses(flow, say) -> None:
    for word in ("bank", "spring", "tuesday"):
        modes = flow[word].modes()
        valley = min(mode.drop for mode in modes)  # infinite for a single mode
        depth = f", the shallowest valley {valley:.2f} nats deep" if len(modes) > 1 else ""
        say(f"\n{word}: {len(modes)} mode{'s' if len(modes) > 1 else ''}{depth}")
        for mode in modes:
            say(f"  {mode.mass:4.0%}  {', '.join(mode.words[:6])}")
            say("\n".join(f"        {sentence}" for sentence in mode.sentences[:2]))


def _over_seeds(runs: list[dict]) -> dict:
    nats = {name: np.array([run["nats"][name] for run in runs]) for name in runs[0]["nats"]}
    return {
        "ahead_of": {
            name: dict(zip(("nats", "low", "high"), paired_difference(nats["flow"], nats[name]), strict=True))
            for name in ("gaussian", "mixture", "point")
        },
        "bank_modes": [run["modes"]["bank"] for run in runs],
    }


def _show_seeds(report: dict, say) -> None:
    runs = report["seeds"]
    say(f"\n{len(runs)} seeds: modes of bank {report['bank_modes']}")
    say("mode_f1: " + ", ".join(f"{run['mode_f1']:.3f}" for run in runs))
    for part in ("grammar", "handwritten"):
        say(f"ARI {part}: " + ", ".join(f"{run['ari'][part]:.3f}" for run in runs))
    for name, d in report["ahead_of"].items():
        say(f"flow ahead of {name}: {d['nats']:.4f} nats per context word, 95 % [{d['low']:.4f}, {d['high']:.4f}]")
