"""Language models: a deterministic baseline, stochastic embeddings, and language as a continuous density.

| model | log p(x) | decoding |
|---|---|---|
| `DiscreteLM` | exact | token by token |
| `StochasticLM` | importance-weighted bound per token | token by token, through a draw z of a flow |
| `TarFlowLM` with `Affine`, `Mix1` or `MixD` | bound per sequence | patch by patch, flow by flow |
"""

from labkit.language.alphabet import LETTERS, Alphabet, TextBatches, sequences
from labkit.language.base import LanguageModel
from labkit.language.cloze import Cloze, chance_error, cloze_log_probs, evaluate_cloze
from labkit.language.code import GaussianCode
from labkit.language.discrete import DiscreteLM
from labkit.language.evaluation import Evaluation, calibration_error, draws_per_second, evaluate
from labkit.language.saving import load_language_model, save_language_model
from labkit.language.stochastic import StochasticLM, Usage
from labkit.language.tarflow import PatchFlow, TarFlowLM
from labkit.language.transformations import Affine, Mix1, MixD, PatchTransformation
from labkit.language.words import Words

__all__ = [
    "LETTERS",
    "Affine",
    "Alphabet",
    "Cloze",
    "DiscreteLM",
    "Evaluation",
    "GaussianCode",
    "LanguageModel",
    "Mix1",
    "MixD",
    "PatchFlow",
    "PatchTransformation",
    "StochasticLM",
    "TarFlowLM",
    "TextBatches",
    "Usage",
    "Words",
    "calibration_error",
    "chance_error",
    "cloze_log_probs",
    "draws_per_second",
    "evaluate",
    "evaluate_cloze",
    "load_language_model",
    "save_language_model",
    "sequences",
]
