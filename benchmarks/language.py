"""Language models on the characters of a text: three continuous ones, a discrete one, one with stochastic embeddings.

All have the same budget: sequences of `length` characters a–z and space, as many training tokens, and within 11 per
cent as many parameters. `bpc` is bits per character on held-out text, each sequence by itself; `bound` says what it is
(exact, elbo, iw-S with S samples: an importance-weighted bound is lower than an ELBO of the same model, so look before
comparing), `stderr` its standard error over sequences. `bpc_train` is the same on training text, `gap` the difference.
`ece` is the calibration of the next character, which the continuous models do not have; `cloze_…` are bits, accuracy
and calibration of one missing character, which all can be asked for, by bounds of the kind `cloze_bound`.

    minutes   one seed, one corpus size: two CPU cores, a quarter of an hour
    hours     three models' gap between training and held-out text, over three corpus sizes and three seeds
    gpu       larger models and longer sequences, bfloat16 products
    smoke     a few steps of tiny models on the built-in corpus, to see that everything runs

A cell (model, corpus size, seed) of these settings that is finished is read from its file in --folder; one that was
interrupted goes on from its checkpoint (its speed is then that of the last part). Under `accelerate launch` or
`torchrun` the processes train one model together, each on its share of every batch.

    python benchmarks/language.py --preset minutes [--corpus FILE] [--folder runs/language] [--workers 2] [--json]
"""

import argparse
import json
import math
import os
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from language_presets import MODELS, PRESETS, Preset, build

from labkit.language import (
    LETTERS,
    Alphabet,
    LanguageModel,
    StochasticLM,
    TextBatches,
    draws_per_second,
    evaluate,
    evaluate_cloze,
    sequences,
)
from labkit.networks.processes import join, leave, rank_and_count
from labkit.text import Corpus, load_corpus
from labkit.text.download import fetch
from labkit.training import one_thread, pick_device, train

HEADINGS = (
    "model", "bpc", "stderr", "bound", "bpc_train", "gap", "ece", "cloze_bits", "cloze_accuracy", "cloze_ece",
    "cloze_ece_chance", "cloze_bound", "parameters", "tokens_per_second", "sample_tokens_per_second", "memory_mib",
    "corpus", "seeds", "bpc_stderr_seeds", "gap_stderr_seeds",
)  # fmt: skip
LONGEST_TEST = 0.1  # share of the stream, at its end, that is kept for tests at most


def digest(about: object) -> str:
    """Eight letters that differ where settings differ."""
    return f"{crc32(json.dumps(about, sort_keys=True, default=str).encode()):08x}"


def stream_of(corpus: str, folder: Path) -> Path:
    """The characters of a corpus, by name or path, as a file of ids that is made once."""
    file = Path(corpus)
    name = f"{file.stem}-{digest([file.resolve(), file.stat().st_mtime_ns])}" if file.is_file() else corpus
    place = folder / f"characters-{name}.npy"
    if not place.exists():
        if corpus == "senses":
            text = load_corpus("senses")
        else:
            text = Corpus.from_text(Path(corpus) if Path(corpus).is_file() else fetch(corpus))
        folder.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f"{place.stem}-{os.getpid()}.npy")
        np.save(part, text.characters(LETTERS))
        part.replace(place)  # whole or not at all, also when several processes make it
    return place


def run_cell(preset_name: str, model_name: str, size: int, seed: int, device: str, folder: str, corpus: str) -> dict:
    """Train one model and measure it, or read what an earlier run has written."""
    preset = PRESETS[preset_name]
    settings = digest([asdict(preset), Path(corpus).name])
    place = Path(folder) / f"{preset_name}-{settings}" / f"{model_name}-{size}-{seed}"
    result = place.with_suffix(".json")
    if result.exists():
        return json.loads(result.read_text(encoding="utf-8"))
    place.parent.mkdir(parents=True, exist_ok=True)
    where = pick_device(device)
    rank, processes = rank_and_count()
    stream = np.load(corpus, mmap_mode="r")
    kept = min(preset.test * preset.length, int(LONGEST_TEST * len(stream)))
    text, held_out = stream[: min(size, len(stream) - kept)], stream[len(stream) - kept :]
    torch.manual_seed(seed)
    model = build(model_name, preset).to(where)
    batches = TextBatches(text, preset.length, preset.batch, seed, where, (rank, processes))
    precision = getattr(torch, preset.precision) if preset.precision and where.type == "cuda" else None
    with one_thread(where):
        started, finished = time.perf_counter(), []
        train(
            model, batches, preset.steps, preset.learning_rate, seed, progress=False, checkpoint=place,
            checkpoint_every=500, resume=place.exists(), accumulate=preset.accumulate, precision=precision,
            callback=lambda step, figure: finished.append(step),
        )  # fmt: skip
        seconds = time.perf_counter() - started
        tokens = len(finished) * preset.accumulate * preset.batch * preset.length
        row = {"model": model_name, "corpus": len(text), "seed": seed, "steps": preset.steps, "seconds": seconds}
        row["tokens_per_second"] = tokens / seconds if finished else None  # all steps were made before
        if rank == 0:
            row |= measure(model, text, held_out, preset, seed)
            result.write_text(json.dumps(row), encoding="utf-8")
    return row


def measure(model: LanguageModel, text: np.ndarray, held_out: np.ndarray, preset: Preset, seed: int) -> dict:
    """Bits on held-out and on training text, calibration, draws and their speed, memory, and the use made of z."""
    where = next(model.parameters()).device
    generator = torch.Generator(where).manual_seed(10**6 + seed)
    samples = preset.samples if isinstance(model, StochasticLM) else 1
    count = min(preset.test, len(held_out) // preset.length, len(text) // preset.length)
    test = sequences(held_out, preset.length, count).to(where)
    found = evaluate(model, test, samples, generator)
    known = evaluate(model, sequences(text, preset.length, count), samples, generator)
    filled = evaluate_cloze(model, test[: preset.gaps], preset.train_samples if samples > 1 else 1, generator)
    drawn, speed = draws_per_second(model, preset.draws, preset.length, generator)
    row = {
        "bpc": found.bpc, "stderr": found.stderr, "bound": found.bound, "samples": samples, "ece": found.ece,
        "bpc_train": known.bpc, "gap": found.bpc - known.bpc, "sequences": count,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "sample_tokens_per_second": speed, "memory_mib": memory_mib(where), "draw": Alphabet().decode(drawn[0]),
    }  # fmt: skip
    row |= {f"cloze_{name}": value for name, value in filled._asdict().items()}
    if isinstance(model, StochasticLM):
        row |= {f"z_{name}": value for name, value in model.usage(test[:64], generator)._asdict().items()}
        row["bpc_elbo"] = evaluate(model, test[: max(2, count // 4)], 1, generator).bpc
    return row


def memory_mib(device: torch.device) -> float:
    """The most that was used at a time: of the GPU by torch, else by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # in KiB on Linux


def over_seeds(cells: list[dict]) -> list[dict]:
    """One row for each model and corpus size: means over seeds, and the standard error of bits between them.

    `stderr`, over sequences, is that of the first seed: all seeds are asked the same text.
    """
    rows = []
    for key in dict.fromkeys((cell["model"], cell["corpus"]) for cell in cells):
        same = [cell for cell in cells if (cell["model"], cell["corpus"]) == key]
        row = {**same[0], "seeds": len(same)}
        for name in {name for cell in same for name, value in cell.items() if type(value) is float} - {"stderr"}:
            known = [cell[name] for cell in same if cell[name] is not None]
            row[name] = sum(known) / len(known)
        if len(same) > 1:  # the same text is asked every time, so that errors over sequences do not average out
            for name in ("bpc", "gap"):
                spread = sum((cell[name] - row[name]) ** 2 for cell in same) / (len(same) - 1)
                row[f"{name}_stderr_seeds"] = math.sqrt(spread / len(same))
        rows.append(row)
    return rows


def table(rows: list[dict]) -> str:
    """The rows in Markdown; a figure that a model does not have is a dash."""

    def shown(value) -> str:
        if isinstance(value, float):
            return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"
        return "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)

    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    lines += ["| " + " | ".join(shown(row.get(key)) for key in HEADINGS) + " |" for row in rows]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="minutes")
    parser.add_argument(
        "--corpus", help="a text file, or the name of a corpus under LABKIT_DATA (default: the preset's)"
    )
    parser.add_argument("--folder", default="runs/language", help="where finished cells and checkpoints are kept")
    parser.add_argument(
        "--model", action="append", choices=MODELS, help="only this model (may be repeated; default: the preset's)"
    )
    parser.add_argument("--workers", type=int, default=2, help="cells at a time (default 2; 1 on a GPU)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    options = parser.parse_args(arguments)
    preset, device = PRESETS[options.preset], pick_device(options.device)
    preset = replace(preset, corpus=options.corpus or preset.corpus)
    together = join(device)[1] > 1
    stream = stream_of(preset.corpus, Path(options.folder))
    cells = [
        (options.preset, model, size, seed, str(device), options.folder, str(stream))
        for size in preset.sizes
        for model in options.model or preset.models
        for seed in preset.seeds
    ]
    if device.type == "cuda" or options.workers == 1 or together:
        done = [run_cell(*cell) for cell in cells]
    else:
        with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
            done = list(pool.map(run_cell, *zip(*cells, strict=True)))
    rank = rank_and_count()[0]
    leave()
    if rank:
        return  # the first of several processes reports
    rows = over_seeds(done)
    if options.markdown:
        options.markdown.write_text(table(rows) + "\n", encoding="utf-8")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread a cell"
    report = {"preset": options.preset, "device": name, "torch": torch.__version__, "settings": asdict(preset)}
    print(json.dumps({**report, "rows": rows}) if options.json else table(rows))


if __name__ == "__main__":
    main()
