"""The shipped language model: what notebook 17 says of it, in numbers."""

import pytest
import torch

from labkit.language import load_language_model
from labkit.text import SenseGrammar


@pytest.fixture(scope="module")
def shipped():
    return load_language_model("sentences")


def test_bank_leans_to_the_river_after_river_and_to_money_after_loan(shipped):
    model, words = shipped
    cues = SenseGrammar().cues
    river, money = (
        {words.vocabulary[cue] for cue in cues[sense] if cue in words.vocabulary}
        for sense in ("bank.river", "bank.money")
    )
    river, money = sorted(river - money), sorted(money - river)

    def lean(text):
        tokens = words.encode(text)
        z = model.density(tokens).sample((2000,), generator=torch.Generator().manual_seed(0))
        p = model.next_given(tokens, z).exp().mean(0)
        return (p[river].sum() / (p[river].sum() + p[money].sum())).item()

    assert lean("· river bank") > lean("· told bank") + 0.1 > lean("· loan bank") + 0.2


def test_its_place_is_used(shipped):
    model, words = shipped
    lines = ["· river water bank flood muddy ·", "· loan account bank money branch ·", "· ball bat wings hit cricket ·"]
    tokens = torch.stack([words.encode(line) for line in lines])
    usage = model.usage(tokens, torch.Generator().manual_seed(0))
    assert usage.nats_shuffled > usage.nats_prior + 0.1
