"""Models as folders: tensors in safetensors; settings, vocabulary and words in JSON."""

import os
from pathlib import Path

import numpy as np

from labkit.folders import CheckpointError, read_folder, write_folder
from labkit.text import Tokenizer, Vocabulary, data_folder

FORMAT = 1  # of saved models
REGISTRY: dict[str, type] = {}  # class name -> embedding class, filled as classes are defined


def save_model(model, path: str | Path) -> None:
    """Write a fitted embedding as a folder, replaced whole or not at all."""
    settings = {
        "format": FORMAT,
        "class": type(model).__name__,
        "params": {name: _plain(value) for name, value in model.get_params().items()},
        "tokenizer": model.tokenizer_.to_dict(),
        "corpus": getattr(model, "corpus_name_", None),
        "seconds": getattr(model, "seconds_", None),
    }
    words = {"words": model.words_, "counts": model.counts_.tolist(), "contexts": model.context_counts_.tolist()}
    parts = {"settings": settings, "vocabulary": model.vocabulary_.to_dict(), "words": words}
    write_folder(path, model.state_dict(), parts)


def load_model(path: str | Path):
    """The embedding that `save_model` wrote; a bare name that is no folder here may be that of a shipped one."""
    tensors, parts = read_folder(_place(Path(path)))
    if not parts.keys() >= {"settings", "vocabulary", "words"}:
        raise CheckpointError(f"{path} is no saved model (perhaps a state of training); expected model.save's")
    settings = parts["settings"]
    if settings["format"] != FORMAT or settings["class"] not in REGISTRY:
        raise CheckpointError(
            f"{path} holds a {settings['class']} of format {settings['format']}; this labkit reads format "
            f"{FORMAT} of {', '.join(sorted(REGISTRY))}"
        )
    params = {name: tuple(v) if isinstance(v, list) else v for name, v in settings["params"].items()}
    try:
        model = REGISTRY[settings["class"]](**params)
        words = (parts["words"][name] for name in ("words", "counts", "contexts"))
        model._set_words(Vocabulary.from_dict(parts["vocabulary"]), *words)
        model.load_state_dict(tensors)
    except (TypeError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} was saved by a labkit whose {settings['class']} was built otherwise; expected this one's: "
            "train it again"
        ) from error
    model.corpus_name_, model.tokenizer_ = settings["corpus"], Tokenizer.from_dict(settings["tokenizer"])
    if settings.get("seconds") is not None:
        model.seconds_ = settings["seconds"]
    return model.eval()


def _place(path: Path) -> Path:
    if not path.exists() and path == Path(path.name):
        shipped = data_folder() / "checkpoints" / path.name
        return shipped if shipped.exists() else path
    return path


def _plain(value):
    """A hyper-parameter as JSON has it."""
    if isinstance(value, np.generic):
        return value.item()
    return os.fspath(value) if isinstance(value, os.PathLike) else value
