"""Stand-ins for embeddings in the view room's tests: the contract of a word's density, nothing more."""

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from labkit.density import Modes, entropy, find_modes

SENSES = {
    "bank": {
        "money": ["she opened an account at the bank in town", "the bank refused the loan after a week",
                  "he paid the cheque into his bank that morning"],
        "river": ["the children fished from the grassy bank of the river", "a boat lay on the muddy bank",
                  "willows grew along the bank above the water"],
    },
    "spring": {
        "season": ["in spring the orchard is white with blossom", "the warm spring rain brought birds"],
        "metal": ["the spring of the old clock had snapped", "a coil spring holds the lid of the box open"],
        "water": ["cold water rose from a spring under the rock", "they filled the bottles at the spring"],
    },
    "tuesday": {"day": ["the meeting was moved to tuesday afternoon", "on tuesday the market opens at nine"]},
}  # fmt: skip
WORDS = {
    "river": "water shore grass fish boat mud", "money": "loan account cheque branch interest",
    "season": "summer blossom april warm garden", "metal": "coil steel clock tension lid",
    "water": "well stream rock source mountain", "day": "monday morning week meeting appointment",
}  # fmt: skip
COMPONENTS = {  # the sense of each Gaussian below
    "bank": ["river", "river", "money"],
    "spring": ["season", "metal", "water"],
    "tuesday": ["day"],
}
PLACES = {  # means, standard deviations, weights
    "bank": ([[-1.5, 0.7], [-0.9, -0.2], [1.5, -0.6]], [[0.45, 0.35], [0.35, 0.5], [0.55, 0.4]],
             [0.25, 0.15, 0.6]),
    "spring": ([[-1.4, 1.0], [1.5, 1.1], [0.2, -1.5]], [[0.5, 0.4], [0.4, 0.45], [0.6, 0.35]],
               [0.45, 0.35, 0.2]),
    "tuesday": ([[0.3, 0.2]], [[0.6, 0.5]], [1.0]),
}  # fmt: skip


class FakeDensity(MixtureSameFamily):
    """A mixture of Gaussians with the questions that a word's density answers."""

    def __init__(self, word: str, places, spreads, weights, extra: int = 0):
        pad = torch.zeros(len(weights), extra)
        places, spreads = (
            torch.cat([torch.tensor(places), pad], 1),
            torch.cat([torch.tensor(spreads), pad + 0.3], 1),
        )
        super().__init__(Categorical(torch.tensor(weights)), Independent(Normal(places, spreads), 1))
        self.word, self.parts = word, (places, spreads, weights)

    def entropy(self) -> float:
        return entropy(self).value

    def modes(self) -> Modes:
        found = find_modes(self)
        senses = list(SENSES.get(self.word, {"": []}).items())
        for number, mode in enumerate(found):
            sense, sentences = senses[min(number, len(senses) - 1)]
            object.__setattr__(mode, "words", [sense, *WORDS.get(sense, "").split()][: 6 if sense else 0])
            object.__setattr__(mode, "sentences", sentences)
        return found

    def given(self, sentence: str) -> "FakeDensity":
        """Narrower, and tilted towards the components whose sense shares most words with the sentence."""
        places, spreads, weights = self.parts
        read = set(sentence.split()) - {self.word}
        senses = SENSES[self.word]
        heard = {s: set(f"{s} {WORDS[s]} {' '.join(senses[s])}".split()) - {"the", "a"} for s in senses}
        fit = torch.tensor([len(read & heard[sense]) for sense in COMPONENTS[self.word]], dtype=torch.float)
        tilted = (torch.tensor(weights).log() + 2 * fit).softmax(0)
        return FakeDensity(self.word, places.tolist(), (0.8 * spreads).tolist(), tilted.tolist())


class FakePoint:
    """A deterministic word: a place, no density."""

    def __init__(self, word: str, location: Tensor):
        self.word, self.location = word, location


class FakeModel:
    """`model[word]`, `model.words`, `model.name`."""

    def __init__(self, name: str, extra: int = 0):
        self.name, self.words, self.extra = name, list(PLACES), extra

    def __getitem__(self, word: str):
        if word not in PLACES:
            raise KeyError(word)
        places, spreads, weights = (np.array(part) for part in PLACES[word])
        mean = weights @ places
        if self.name == "PointEmbedding":
            return FakePoint(word, torch.tensor(mean))
        if self.name == "GaussianEmbedding":
            spread = np.sqrt(weights @ (spreads**2 + (places - mean) ** 2))
            return FakeDensity(word, [mean.tolist()], [spread.tolist()], [1.0])
        if self.name == "MixtureEmbedding":
            places = 0.9 * places + 0.1
            spreads = 1.2 * spreads
        return FakeDensity(word, places.tolist(), spreads.tolist(), weights.tolist(), self.extra)


def fake_models() -> list[FakeModel]:
    return [FakeModel(name + "Embedding") for name in ("Stochastic", "Gaussian", "Mixture", "Point")]


def test_a_fake_answers_what_the_room_asks(seed):
    bank = FakeModel("StochasticEmbedding")["bank"]
    modes = bank.modes()
    assert [mode.words[0] for mode in modes] == ["money", "river"]
    assert bank.given("a sentence about the bank").sample((3,)).shape == (3, 2)
    assert modes.assign(bank.sample((5,))).shape == (5,)
