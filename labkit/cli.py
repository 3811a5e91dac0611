"""python -m labkit demo | train | evaluate | explore | export."""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

import labkit as lk
from labkit.demo import run_demo
from labkit.embeddings.latent import LatentEmbedding
from labkit.embeddings.saving import REGISTRY
from labkit.evaluate import commands as on_sets
from labkit.evaluate.diagnostics import diagnose
from labkit.evaluate.windows import GRAMMAR_SEED, grammar_windows
from labkit.folders import check_place
from labkit.view.explorer import app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; user errors become one sentence on standard error and exit status 1."""
    options = _parser().parse_args(on_sets.joined(list(sys.argv[1:] if arguments is None else arguments)))
    try:
        if options.threads < 1:
            raise ValueError(f"--threads is {options.threads}; expected at least 1")
        torch.set_num_threads(options.threads)
        options.run(options)
    except (ValueError, OSError, KeyError, ImportError, lk.TrainingDiverged) as error:
        message = error.args[0] if type(error) is KeyError and error.args else error  # str() of a KeyError is quoted
        print(f"labkit: {' '.join(str(message).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("labkit: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m labkit", description=lk.__doc__)
    parser.add_argument("--version", action="version", version=f"labkit {lk.__version__}")
    commands = parser.add_subparsers(required=True, metavar="demo | train | evaluate | explore | export")

    demo = _command(commands, "demo", _demo, "train on the built-in corpus, compare, write out/bank.html")
    demo.add_argument("--seeds", type=int, metavar="N", default=1, help="how many seeds, from --seed on (default 1)")
    demo.add_argument("--jobs", type=int, default=1, help="processes for the seeds after the first (default 1)")
    demo.add_argument("--steps", type=int, default=None, help="training steps of every model")
    demo.add_argument("--out", type=Path, default=Path("out"), help="folder of the page (default out)")
    demo.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    train = _command(commands, "train", _train, "train a model on your own text")
    train.add_argument("--corpus", required=True, help="a .txt, .txt.gz, .jsonl, .csv or .tsv file, or a known name")
    train.add_argument("--model", choices=sorted(REGISTRY), default="StochasticEmbedding", metavar="CLASS",
                       help=f"one of {', '.join(sorted(REGISTRY))} (default StochasticEmbedding)")  # fmt: skip
    train.add_argument("--dim", type=int, default=None, help="stochastic dimensions; D of TruncatedEmbedding")
    train.add_argument("--steps", type=int, default=None, help="default: one pass over the text, at least 3,000")
    train.add_argument("--batch-size", type=int, default=1024)
    train.add_argument("--min-count", type=int, default=5, help="drop rarer words (default 5)")
    train.add_argument("--max-vocabulary", type=int, default=100_000)
    train.add_argument("--encoding", default="utf-8")
    train.add_argument("--init", default="spectral", help='"spectral", "none" or a file of word2vec or GloVe vectors')
    train.add_argument("--save", type=Path, default=Path("runs/model"), help="folder of the model (default runs/model)")
    train.add_argument("--resume", action="store_true", help="go on where an interrupted training stopped")
    train.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    evaluate = _command(commands, "evaluate", _evaluate, "nats, senses and modes of models on the built-in corpus",
                        seed_of="of the held-out windows")  # fmt: skip
    evaluate.add_argument("models", nargs="+", type=Path, help="folders of saved models")
    evaluate.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    evaluate.epilog = f"evaluate {' | '.join(on_sets.NAMES)}: figures on real sets, each with --help of its own"
    on_sets.add_commands(commands, _command)

    explore = _command(commands, "explore", _explore, "open the explorer in a browser, on this machine only",
                       seed_of="of the training, if there is one")  # fmt: skip
    explore.add_argument("model", nargs="?", type=Path, help="folder of a saved model (default: the first notebook's)")
    explore.add_argument("--corpus", help="a text, as in train: without a model one is trained on it, with --seed; "
                         "its sentences are shown in either case")  # fmt: skip
    explore.add_argument("--save", type=Path, default=Path("runs/explored"),
                         help="folder of the model that --corpus trains (default runs/explored)")  # fmt: skip
    explore.add_argument("--port", type=int, default=None, help="default: the first free one from 8866 on")
    explore.add_argument("--no-browser", action="store_true", help="serve it and open no browser")

    export = _command(commands, "export", _export, "a page, or vectors for other tools, from a model",
                      seed_of="taken for likeness with the others: nothing in an export is left to chance")  # fmt: skip
    export.add_argument("model", type=Path, help="folder of a saved model")
    export.add_argument("--words", nargs="*", help="default: the 20 most frequent ones that have a density")
    kinds = "a .html page, a .txt file (word2vec's format), or a folder (Embedding Projector)"
    export.add_argument("--to", required=True, type=Path, help=kinds)
    return parser


def _command(
    commands, name: str, run, text: str, seed_of: str = "of all randomness in training"
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text)
    command.add_argument("--seed", type=int, default=0, help=f"{seed_of} (default 0)")
    command.add_argument("--device", default="auto", help="auto, cpu or cuda")
    command.add_argument("--threads", type=int, default=1, help="CPU threads (default 1; more help on idle machines)")
    command.set_defaults(run=run)
    return command


def _demo(options) -> None:
    for name in ("seeds", "jobs"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} is {getattr(options, name)}; expected at least 1")
    report = run_demo(
        seeds=range(options.seed, options.seed + options.seeds), device=options.device, steps=options.steps,
        out=options.out, quiet=options.json, jobs=options.jobs,
    )  # fmt: skip
    if options.json:
        print(json.dumps(report))


def _train(options) -> None:
    state = options.save.with_name(options.save.name + ".training")
    check_place(options.save)
    check_place(state)
    path = Path(options.corpus)
    reading = {"min_count": options.min_count, "max_size": options.max_vocabulary}
    if path.exists():
        corpus = lk.Corpus.load(path, encoding=options.encoding, **reading)
    elif path.suffix:
        raise FileNotFoundError(f"there is no file {path}; expected a text file or the name of a corpus")
    else:
        corpus = lk.load_corpus(options.corpus, **({} if options.corpus == "senses" else reading))
    if not options.json:
        print(corpus)
    model = REGISTRY[options.model]()
    settings = {"batch_size": options.batch_size, "seed": options.seed, "device": options.device}
    settings["init"] = None if options.init == "none" else options.init
    if options.dim is not None:
        settings["dim"] = options.dim
    model.set_params(**settings)
    steps = max(3000, model.steps_per_pass(corpus)) if options.steps is None else options.steps
    model.set_params(steps=steps)
    model.fit(corpus, progress=not options.json, checkpoint=state, resume=options.resume)
    model.save(options.save)
    if len(model.losses_) == steps:  # there is nothing left to resume
        shutil.rmtree(state, ignore_errors=True)
    report = {
        "model": model.name, "saved": str(options.save), "vocabulary": len(model.vocabulary_),
        "parameters": model.n_parameters_, "steps": len(model.losses_), "seconds": round(model.seconds_, 2),
        "nats_per_word": sum(model.losses_[-200:]) / max(1, len(model.losses_[-200:])),
    }  # fmt: skip
    print(json.dumps(report) if options.json else f"saved {model.name} to {options.save}")


def _evaluate(options) -> None:
    models = []
    for folder in options.models:
        models.append(lk.load(folder).to(lk.training.pick_device(options.device)))
    table = lk.compare(models, seed=GRAMMAR_SEED + options.seed)
    table.insert(0, "folder", [str(folder) for folder in options.models])
    verdicts = {
        str(folder): diagnose(model, grammar_windows(model.vocabulary_, per_word=20), samples=32).verdict
        for folder, model in zip(options.models, models, strict=True)
        if isinstance(model, LatentEmbedding)
    }
    if options.json:
        rows = table.reset_index().to_dict(orient="records")
        rows = [{k: None if v != v else v for k, v in row.items()} for row in rows]  # JSON has no NaN
        print(json.dumps({"rows": rows, **table.attrs, "verdicts": verdicts}))
    else:
        print(table.round(4).to_string())
        print(f"optimum {table.attrs['optimum']:.4f} ± {table.attrs['optimum_stderr']:.4f} nats per context word")
        for folder, verdict in verdicts.items():
            print(f"{folder}: {verdict}")


def _explore(options) -> None:
    app.check_server()  # without a server there is no need to train
    if options.corpus and not options.model:
        train = ["train", "--corpus", options.corpus, "--save", str(options.save), "--seed", str(options.seed)]
        train = _parser().parse_args([*train, "--device", options.device])
        train.run(train)
        options.model = options.save
    app.serve(options.model, options.corpus, options.device, not options.no_browser, options.port)


def _export(options) -> None:
    model = lk.load(options.model).to(lk.training.pick_device(options.device))
    words = options.words or [model.words[i] for i in (-model.counts_).argsort(kind="stable")[:20]]
    for word in words:
        model.row(word)  # an unknown word is an error before anything is written
    if options.to.suffix == ".html":
        options.to.parent.mkdir(parents=True, exist_ok=True)
        lk.export_html(model, words, options.to)
    elif options.to.suffix == ".txt":
        lk.embeddings.write_word2vec(model, options.to, options.words)
    elif options.to.suffix == "":
        lk.embeddings.write_projector(model, options.to, options.words)
    else:
        raise ValueError(f"cannot tell what to write to {options.to}; expected .html, .txt or a folder's name")
    print(f"wrote {options.to}")
