"""What benchmarks/language.py runs: five models of about one size, and how long each preset trains them."""

from dataclasses import dataclass, field

from labkit.language import (
    LETTERS,
    Affine,
    DiscreteLM,
    GaussianCode,
    LanguageModel,
    Mix1,
    MixD,
    StochasticLM,
    TarFlowLM,
)

MODELS = ("affine", "mix-1", "mix-d", "discrete", "stochastic")
TRANSFORMATIONS = {"affine": Affine, "mix-1": Mix1, "mix-d": MixD}


@dataclass(frozen=True)
class Preset:
    """What is run, and how long. `flows` are the blocks of each flow of the continuous models, from the data on.

    For mixtures the flow next to the data is deep and the others shallow: that flow alone can be the discrete model
    (the proposition). A Gaussian can be bent only by other flows, so that affine ones are about equally deep.
    """

    corpus: str = "enwiki2018"
    models: tuple[str, ...] = MODELS
    sizes: tuple[int, ...] = (20_000_000,)  # characters of training text
    seeds: tuple[int, ...] = (0,)
    length: int = 128
    batch: int = 16  # at equal tokens, twice the steps on half the batch gave .26 bits on text kept for such choices
    steps: int = 1600
    accumulate: int = 1
    learning_rate: float = 3e-3
    width: int = 80
    heads: int = 4
    blocks: int = 4
    flows: dict[str, tuple[int, ...]] = field(
        default_factory=lambda: {"affine": (2, 1, 1), "mix-1": (3, 1), "mix-d": (3, 1)}
    )
    # σ at the start and the end of the schedule: broad where a Gaussian has to cover all tokens, narrow for Mix-d
    sigma: dict[str, tuple[float, float]] = field(
        default_factory=lambda: {"affine": (1.0, 1.0), "mix-1": (1.0, 0.3), "mix-d": (0.5, 0.15)}
    )
    dim: int = 4
    k: int = 2  # stochastic coordinates
    train_samples: int = 4  # S of the stochastic model's loss
    samples: int = 16  # S of its bound on held-out text
    test: int = 512  # sequences
    gaps: int = 512  # of those sequences, with one missing character in each
    draws: int = 16  # sequences
    precision: str | None = None


PRESETS = {
    "minutes": Preset(),
    "hours": Preset(
        models=("discrete", "stochastic", "mix-d"), sizes=(100_000, 1_000_000, 10_000_000), seeds=(0, 1, 2), gaps=64,
    ),
    "gpu": Preset(
        length=256, batch=256, steps=30_000, learning_rate=1e-3, width=512, heads=8, blocks=9, dim=8, test=2048,
        flows={"affine": (3, 3, 3), "mix-1": (7, 1, 1), "mix-d": (7, 1, 1)}, draws=64, precision="bfloat16",
    ),
    "smoke": Preset(
        corpus="senses", sizes=(20_000,), length=8, batch=4, steps=3, width=8, heads=2, blocks=1, dim=2, test=4,
        flows={"affine": (1, 1), "mix-1": (1, 1), "mix-d": (1, 1)}, draws=2, samples=2, train_samples=2,
    ),
}  # fmt: skip


def build(name: str, preset: Preset) -> LanguageModel:
    """A fresh model."""
    sizes = {"width": preset.width, "heads": preset.heads}
    vocabulary = len(LETTERS)
    if name == "discrete":
        return DiscreteLM(vocabulary, preset.length, blocks=preset.blocks, **sizes)
    if name == "stochastic":
        return StochasticLM(
            vocabulary, preset.length, k=preset.k, samples=preset.train_samples, blocks=preset.blocks, **sizes
        )
    code = GaussianCode(vocabulary, preset.dim, preset.sigma[name])
    flows = preset.flows[name]
    return TarFlowLM(vocabulary, preset.length, preset.dim, TRANSFORMATIONS[name], flows, code=code, **sizes)
