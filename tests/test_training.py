"""The training loop: what it keeps when it is stopped, and that going on is as if it had never stopped."""

import json
import signal

import pytest
import torch
from torch import nn

from labkit import CheckpointError, PointEmbedding, StochasticEmbedding, TrainingDiverged, load_corpus
from labkit.folders import read_folder, write_folder
from labkit.text import Corpus, Windows
from labkit.training import train

SETTINGS = {
    "point": (PointEmbedding, dict(vector_dim=16, negatives=16, batch_size=32, steps=24)),
    "flow": (StochasticEmbedding, dict(vector_dim=16, word_dim=8, hidden=(8,), samples=2, negatives=16, batch_size=32,
                                       steps=24)),
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_corpus("senses", per_word=10)


@pytest.fixture(params=SETTINGS)
def make(request):
    kind, settings = SETTINGS[request.param]
    return lambda **new: kind(**settings | new)


def at_step(step: int, act):
    def callback(done, figure):
        if done == step:
            act()

    return callback


def interrupt():
    raise KeyboardInterrupt


def same(model, other) -> bool:
    mine, theirs = model.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


# --- stopping and going on ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_at", [1, 11, 23])
def test_a_resumed_training_ends_in_the_same_bits(make, corpus, tmp_path, stop_at):
    whole = make().fit(corpus, progress=False)
    make().fit(corpus, progress=False, checkpoint=tmp_path / "state", callback=at_step(stop_at, interrupt))
    resumed = make().fit(corpus, progress=False, checkpoint=tmp_path / "state", resume=True)
    assert same(resumed, whole) and resumed.losses_ == whole.losses_


def test_a_training_resumed_twice_ends_in_the_same_bits(make, corpus, tmp_path):
    whole = make().fit(corpus, progress=False)
    state = dict(progress=False, checkpoint=tmp_path / "state")
    make().fit(corpus, **state, callback=at_step(5, interrupt))
    make().fit(corpus, **state, resume=True, callback=at_step(14, interrupt))
    assert same(make().fit(corpus, **state, resume=True), whole)


def test_ctrl_c_in_the_middle_of_a_step_lets_it_end(make, corpus, tmp_path):
    """The signal arrives while the loss is computed; the state that is saved is that of a whole step."""
    whole = make().fit(corpus, progress=False)
    model, steps = make(), []
    compute = model.loss

    def loss(*arguments):
        steps.append(len(steps))
        if len(steps) == 7:
            signal.raise_signal(signal.SIGINT)
        return compute(*arguments)

    model.loss = loss
    before = signal.getsignal(signal.SIGINT)
    model.fit(corpus, progress=False, checkpoint=tmp_path / "state")
    assert len(model.losses_) == 7 and signal.getsignal(signal.SIGINT) is before
    assert same(make().fit(corpus, progress=False, checkpoint=tmp_path / "state", resume=True), whole)


def test_a_second_ctrl_c_does_not_wait(corpus):
    model = SETTINGS["point"][0](**SETTINGS["point"][1])

    def loss(*arguments):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the second one was held back")

    model.loss = loss
    assert model.fit(corpus, progress=False).losses_ == []


def test_ctrl_c_keeps_what_is_learned_and_says_so(make, corpus, capsys):
    model = make(steps=60).fit(corpus, progress=False, callback=at_step(30, interrupt))
    output = capsys.readouterr()
    assert "Stopped at step 30 of 60; kept the best state, of step 30." in output.err and output.out == ""
    assert len(model.losses_) == 30 and not model.training
    assert same(model, make(steps=60).fit(corpus, progress=False, callback=at_step(30, interrupt)))


class Slope(nn.Module):
    """A loss that is told beforehand; its one weight falls by a step each time."""

    def __init__(self, losses):
        super().__init__()
        self.weight, self.told = nn.Parameter(torch.zeros(1)), list(losses)

    def loss(self, batch, generator, share):
        return self.weight.sum(), torch.tensor(self.told.pop(0))


class Endless:
    """Batches without end."""

    given = 0

    def take(self, n):
        for _ in range(n):
            self.given += 1
            yield Endless

    mask = torch.ones(2, 3)

    def state(self):
        return {"given": self.given}

    def restore(self, state):
        self.given = state["given"]


def test_ctrl_c_goes_back_to_the_best_state(monkeypatch, capsys):
    monkeypatch.setattr("labkit.training.KEEP_EVERY", 10)
    weights = []
    model = Slope([3.0] * 10 + [1.0] * 10 + [2.0] * 20)
    note = at_step(35, interrupt)

    def callback(done, figure):
        weights.append(model.weight.item())
        note(done, figure)

    assert len(train(model, Endless(), 40, 0.1, progress=False, callback=callback)) == 35
    assert model.weight.item() == weights[19]
    assert "Stopped at step 35 of 40; kept the best state, of step 20." in capsys.readouterr().err


def test_the_bar_shows_figures_and_speed(capsys):
    train(Slope([2.0] * 400), Endless(), 400, 0.1, progress=True)
    shown = capsys.readouterr().err
    assert "400/400" in shown and "2.000 nats/word" in shown and "words/s" in shown


# --- resuming what cannot be resumed ------------------------------------------------------------------------------


def test_resume_needs_a_folder(make, corpus):
    with pytest.raises(ValueError, match="resume needs the folder to go on from"):
        make().fit(corpus, progress=False, resume=True)


def test_nothing_to_resume_from(make, corpus, tmp_path):
    model = make()
    with pytest.raises(FileNotFoundError, match="no labkit checkpoint"):
        model.fit(corpus, progress=False, checkpoint=tmp_path / "state", resume=True)
    with pytest.raises(ValueError, match="not fitted"):
        model["bank"]


OTHERS = {
    "another width": (dict(vector_dim=8), "another model, other settings or another corpus"),
    "another batch size": (dict(batch_size=16), "batch_size = 32"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_the_state_of_another_training(case, make, corpus, tmp_path):
    make().fit(corpus, progress=False, checkpoint=tmp_path / "state", callback=at_step(3, interrupt))
    settings, message = OTHERS[case]
    with pytest.raises(CheckpointError, match=message):
        make(**settings).fit(corpus, progress=False, checkpoint=tmp_path / "state", resume=True)


def test_a_finished_model_is_no_state(make, corpus, tmp_path):
    make(steps=2).fit(corpus, progress=False).save(tmp_path / "model")
    with pytest.raises(CheckpointError, match="no state of training"):
        make().fit(corpus, progress=False, checkpoint=tmp_path / "model", resume=True)


def test_a_generator_of_another_device(make, corpus, tmp_path):
    make().fit(corpus, progress=False, checkpoint=tmp_path / "state", callback=at_step(3, interrupt))
    tensors, parts = read_folder(tmp_path / "state")
    tensors["generator"] = tensors["generator"][:16]  # as long as that of a GPU
    write_folder(tmp_path / "state", tensors, parts)
    with pytest.raises(CheckpointError, match="cannot resume"):
        make().fit(corpus, progress=False, checkpoint=tmp_path / "state", resume=True)


# --- divergence ---------------------------------------------------------------------------------------------------


def spoil(model, step: int):
    """From a step on the loss is NaN."""
    compute, done = model.loss, []

    def loss(*arguments):
        done.append(1)
        minimised, reported = compute(*arguments)
        return (minimised * float("nan"), reported * float("nan")) if len(done) > step else (minimised, reported)

    model.loss = loss
    return model


def test_a_nan_restores_the_last_good_state(make, corpus, monkeypatch):
    monkeypatch.setattr("labkit.training.KEEP_EVERY", 5)
    model = spoil(make(), 12)
    with pytest.raises(TrainingDiverged, match=r"became nan at step 12 of 24; .* of step (5|10)\. Try .* below 0.0"):
        model.fit(corpus, progress=False)
    assert all(weight.isfinite().all() for weight in model.state_dict().values())
    assert not model.training and model["bank"] is not None


def test_a_nan_leaves_a_checkpoint_to_go_on_from(make, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("labkit.training.KEEP_EVERY", 5)
    model = spoil(make(), 12)
    with pytest.raises(TrainingDiverged):
        model.fit(corpus, progress=False, checkpoint=tmp_path / "state")
    gentler = make(learning_rate=0.001)
    gentler.fit(corpus, progress=False, checkpoint=tmp_path / "state", resume=True)
    assert len(gentler.losses_) == 24 and all(w.isfinite().all() for w in gentler.state_dict().values())


def test_weights_that_are_spoilt_are_never_saved(make, corpus, tmp_path):
    """The loss of a step may be finite and its gradient not: the periodic checkpoint is then skipped."""
    model, folder = make().fit(corpus, progress=False), tmp_path / "state"
    windows = Windows(corpus, whole_sentence=True, subsample=None, targets="marked", batch_size=32)

    def callback(done, figure):
        if done == 4:
            next(model.parameters()).data.fill_(float("nan"))

    with pytest.raises(TrainingDiverged):
        train(model, windows, 8, 0.01, progress=False, checkpoint=folder, checkpoint_every=2, callback=callback)
    tensors, parts = read_folder(folder)
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert len(parts["training"]["losses"]) <= 4


def test_a_learning_rate_far_too_high_is_caught(corpus):
    with pytest.raises(TrainingDiverged, match="Try a learning rate below 1e\\+30"):
        PointEmbedding(vector_dim=8, learning_rate=1e30, steps=60, batch_size=32).fit(corpus, progress=False)


# --- checkpoints on the way ---------------------------------------------------------------------------------------


def test_checkpoints_are_plain_files(make, corpus, tmp_path):
    make().fit(corpus, progress=False, checkpoint=tmp_path / "state", callback=at_step(3, interrupt))
    assert {file.name for file in (tmp_path / "state").iterdir()} == {
        "tensors.safetensors", "training.json", "index.json",
    }  # fmt: skip
    assert len(json.loads((tmp_path / "state" / "training.json").read_text())["losses"]) == 3


def test_a_full_disk_keeps_what_is_learned(make, corpus, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("labkit.folders.os.fsync", full)
    model = make()
    with pytest.raises(OSError, match="could not save to .*: No space left on device"):
        model.fit(corpus, progress=False, checkpoint=tmp_path / "state", callback=at_step(9, interrupt))
    assert not model.training and model["bank"] is not None
    assert list(tmp_path.iterdir()) == []
