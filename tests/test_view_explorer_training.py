import pytest
import torch

import labkit as lk
from labkit.view import explore
from tests.test_view_explorer import array

SMALL = dict(layers=1, bins=4, vector_dim=4, word_dim=4, batch_size=8)


@pytest.fixture(scope="module")
def corpus():
    return lk.Corpus.from_sentences(["a small red boat", "a big red bus", "a small boat"] * 9, min_count=1)


def test_frames_are_kept_while_a_model_learns(corpus, monkeypatch):
    model = lk.StochasticEmbedding(steps=25, **SMALL)
    recorder = lk.TrainingRecorder(model, ["red"], corpus, every=10, resolution=20)
    explorer, heard = explore(model, training=recorder), []
    monkeypatch.setattr(explorer, "send", lambda content, buffers=None: heard.append((content, buffers)))
    assert explorer.about["training"]["state"] == "ready" and explorer.first == {}
    recorder.start()
    recorder.wait(60)
    assert [frame.step for frame in recorder.frames] == [1, 5, 10, 20, 25] and recorder.state == "done"
    assert [m["frames"] for m, _ in heard if m["answer"] == "trained"][-1] == 5
    explorer._receive(explorer, {"ask": "frames", "word": "red", "start": 2, "view": "v", "seq": 1}, [])
    answer, (block,) = heard[-1]
    assert [head["step"] for head in answer["heads"]] == [10, 20, 25]
    for head in answer["heads"]:
        kind, shape, start = head["outline"]
        assert array([kind, shape, start + head["at"]], block).shape == tuple(shape)


def test_a_training_is_held_and_stopped(corpus):
    model = lk.StochasticEmbedding(steps=100_000, **SMALL)
    recorder = lk.TrainingRecorder(model, ["red"], corpus, every=5, resolution=10)
    recorder.start()
    while len(recorder.frames) < 3:
        recorder.wait(0.05)
    recorder.hold()
    assert recorder.state == "held"
    recorder.stop()
    recorder.wait(60)
    assert recorder.state == "done" and recorder.trouble == "" and len(model.losses_) < 100_000
    assert torch.isfinite(model["red"].sample((5,))).all()


def test_trouble_in_the_background_is_told(corpus):
    recorder = lk.TrainingRecorder(lk.StochasticEmbedding(steps=4, **SMALL), ["xyzzy"], corpus)
    recorder.start()
    recorder.wait(60)
    assert "xyzzy" in recorder.trouble


def test_a_recorder_says_what_it_needs():
    model = lk.StochasticEmbedding(steps=4, **SMALL)
    with pytest.raises(ValueError, match="at least one word and every >= 1; got words=.. and every=50"):
        lk.TrainingRecorder(model, [])
    with pytest.raises(ValueError, match="nothing to train on"):
        lk.TrainingRecorder(model, ["red"]).start()
