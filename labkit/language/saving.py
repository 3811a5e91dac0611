"""Language models as folders: tensors in safetensors, and in JSON what makes the model and its tokens again."""

from functools import singledispatch
from pathlib import Path

from labkit.folders import CheckpointError, read_folder, write_folder
from labkit.language.alphabet import Alphabet
from labkit.language.base import LanguageModel
from labkit.language.code import GaussianCode
from labkit.language.discrete import DiscreteLM
from labkit.language.stochastic import StochasticLM
from labkit.language.tarflow import TarFlowLM
from labkit.language.transformations import Affine, Mix1, MixD
from labkit.language.words import Words
from labkit.text import Tokenizer, Vocabulary, data_folder

FORMAT = 1  # of saved language models
CLASSES = {made.__name__: made for made in (DiscreteLM, StochasticLM, TarFlowLM)}
TRANSFORMATIONS = {made.__name__: made for made in (Affine, Mix1, MixD)}


def save_language_model(model: LanguageModel, path: str | Path, tokens: Alphabet | Words, **notes) -> None:
    """Write a model and what its ids mean as a folder, replaced whole or not at all.

    Arguments:
        tokens: the `Alphabet` or `Words` of the text.
        notes: anything that JSON can hold, to be read by people: steps, seed, corpus.

    Raises:
        ValueError: for tokens of another number than the model's, or a part that has no name to be saved under: a
            class of your own, a code other than `GaussianCode`, a tokenizer without `to_dict`.
        OSError: if the folder cannot be written; what was there is untouched.
    """
    if len(tokens) != model.vocabulary_size:
        raise ValueError(f"expected tokens of {model.vocabulary_size} kinds, as the model has; got {len(tokens)}")
    settings = {"format": FORMAT, "class": type(model).__name__, "arguments": arguments_of(model), "notes": notes}
    write_folder(path, model.state_dict(), {"settings": settings, "tokens": _plain(tokens)})


def load_language_model(path: str | Path) -> tuple[LanguageModel, Alphabet | Words]:
    """The model that `save_language_model` wrote, and its tokens. A bare name that is no folder here is a shipped one.

    Raises:
        FileNotFoundError, CheckpointError: if there is none, or it is spoilt, or of another labkit.
    """
    path = Path(path)
    if not path.exists() and path == Path(path.name):
        path = data_folder() / "checkpoints" / path
    tensors, parts = read_folder(path)
    settings = parts.get("settings", {})
    if settings.get("format") != FORMAT or settings.get("class") not in CLASSES or "tokens" not in parts:
        raise CheckpointError(
            f"{path} holds no language model of format {FORMAT}; expected a folder by save_language_model"
        )
    arguments = dict(settings["arguments"])
    if "transformation" in arguments:
        arguments["transformation"] = TRANSFORMATIONS[arguments["transformation"]]
        arguments["code"] = GaussianCode(**_tuples(arguments["code"]))
    try:
        model = CLASSES[settings["class"]](**_tuples(arguments))
        model.load_state_dict(tensors)
    except (TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} was saved by a labkit whose {settings['class']} was built otherwise; train it again"
        ) from error
    saved = parts["tokens"]
    if "letters" in saved:
        return model.eval(), Alphabet(saved["letters"])
    return model.eval(), Words(Vocabulary.from_dict(saved["vocabulary"]), Tokenizer.from_dict(saved["tokenizer"]))


@singledispatch
def arguments_of(model: LanguageModel) -> dict:
    """The arguments with which a model like this one is made, as JSON has them."""
    raise ValueError(f"expected a {', '.join(CLASSES)}; got {type(model).__name__}, which has no form to be saved in")


@arguments_of.register
def _(model: DiscreteLM) -> dict:
    trunk = model.transformer
    sizes = {"width": trunk.width, "blocks": len(trunk.blocks), "heads": trunk.heads}
    return {"vocabulary_size": model.vocabulary_size, "context": model.context, **sizes}


@arguments_of.register
def _(model: StochasticLM) -> dict:
    own = {name: getattr(model, name) for name in ("k", "samples", "layers", "bottleneck", "rate_weight")}
    return arguments_of(model.trunk) | own


@arguments_of.register
def _(model: TarFlowLM) -> dict:
    code, first = model.code, model.flows[0]
    transformation = type(first.transformation).__name__
    if type(code) is not GaussianCode or transformation not in TRANSFORMATIONS:
        raise ValueError(
            f"expected a GaussianCode and one of {', '.join(TRANSFORMATIONS)}; got {type(code).__name__} and "
            f"{transformation}, which have no form to be saved in"
        )
    return {
        "vocabulary_size": model.vocabulary_size, "context": model.context, "dim": model.dim,
        "transformation": transformation, "blocks": [len(flow.transformer.blocks) for flow in model.flows],
        "width": first.transformer.width, "heads": first.transformer.heads, "patch": model.patch,
        "mixing": first.mixing, "edge": model.edge,
        "code": {"vocabulary_size": model.vocabulary_size, "dim": model.dim, "sigma": list(code.sigma),
                 "annealed": code.annealed},
    }  # fmt: skip


def _plain(tokens: Alphabet | Words) -> dict:
    if isinstance(tokens, Alphabet):
        return {"letters": tokens.letters}
    if not hasattr(tokens.tokenizer, "to_dict"):
        raise ValueError(f"expected a Tokenizer, which can be saved; got {tokens.tokenizer!r:.60}")
    return {"vocabulary": tokens.vocabulary.to_dict(), "tokenizer": tokens.tokenizer.to_dict()}


def _tuples(arguments: dict) -> dict:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()}
