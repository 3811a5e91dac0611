import numpy as np
import pytest

import labkit as lk
from labkit.view.explorer.answers import SCALE, TYPES, Block, placed
from labkit.view.explorer.known import Known, ambiguity
from labkit.view.explorer.session import Question, Session
from tests.test_view_explorer_fields import RIVER, two_hills
from tests.test_view_fakes import PLACES, SENSES, FakeModel, fake_models


@pytest.fixture(scope="module")
def quickstart():
    return lk.load("quickstart")


@pytest.fixture
def session(quickstart):
    return Session([quickstart], ["bank", "spring", "tuesday"], resolution=60)


def array(place, block: bytes) -> np.ndarray:
    kind, shape, start = place
    return np.frombuffer(block, TYPES[kind], int(np.prod(shape)), start).reshape(shape)


# --- answers ----------------------------------------------------------------------------------------------------


def test_a_block_starts_every_array_at_a_multiple_of_four():
    block, random = Block(), np.random.default_rng(0)
    arrays = [("u1", random.integers(0, 9, 5)), ("f4", random.normal(size=(3, 2))), ("i2", np.array([[-7, 8]]))]
    places = [block.add(kind, values) for kind, values in arrays]
    for (kind, values), place in zip(arrays, places):
        assert place[2] % 4 == 0
        assert array(place, block.bytes) == pytest.approx(values.astype(TYPES[kind]))


def test_places_travel_as_shares_of_the_frame():
    limits = ((-2.0, 2.0), (-1.0, 1.0))
    corners = np.array([[-2.0, 1.0], [2.0, -1.0], [0.0, 0.0], [99.0, 0.0]])
    assert (placed(corners, limits) / SCALE).tolist() == [
        [0, 0],
        [1, 1],
        [0.5, 0.5],
        [pytest.approx(1.99, abs=1e-3), 0.5],
    ]


def test_a_picture_holds_regions_samples_and_modes(session):
    header, block = session.picture(Question("bank", samples=200), detail=1)
    (panel,) = header["panels"]
    rings = array(panel["rings"], block)
    assert set(rings[:, 1]) == {0, 1, 2, 3}  # 99, 95, 80 and 50 %
    assert array(panel["samples"], block).shape == (200, 2) and array(panel["mode"], block).max() == 1
    assert [round(mode["mass"], 2) for mode in panel["modes"]] == [0.63, 0.37]
    assert "money" in panel["modes"][0]["words"] and "river" in panel["modes"][1]["words"]
    assert panel["said"].startswith("Density of “bank”, two regions: 63 % near")


def test_outlines_hold_the_share_they_say(session):
    """Shares of 5,000 marks inside the outlines, by the even-odd rule; four standard errors and 1 % for the grid."""
    header, block = session.picture(Question("bank", samples=5000), detail=0)
    (panel,) = header["panels"]
    outline, rings = array(panel["outline"], block).astype(float), array(panel["rings"], block)
    x, y = array(panel["samples"], block).astype(float).T
    ends = [*rings[1:, 0], len(outline)]
    for region, prob in enumerate((0.99, 0.95, 0.8, 0.5)):
        inside = np.zeros(5000, dtype=bool)
        for (start, number), end in zip(rings, ends):
            if number == region:
                inside ^= within(outline[start:end], x, y)
        assert inside.mean() == pytest.approx(prob, abs=0.01 + 4 * np.sqrt(prob * (1 - prob) / 5000))


def within(ring, x, y):
    inside = np.zeros(len(x), dtype=bool)
    for (x1, y1), (x2, y2) in zip(ring, np.roll(ring, -1, axis=0)):
        if y1 != y2:
            crosses = (y1 > y) != (y2 > y)
            inside ^= crosses & (x < x1 + (y - y1) / (y2 - y1) * (x2 - x1))
    return inside


def test_all_words_share_the_limits_of_the_frame(session):
    limits = {str(session.picture(Question(word))[0]["panels"][0]["limits"]) for word in ("bank", "spring", "crane")}
    assert len(limits) == 1
    alone = session.picture(Question("bank", fit=True))[0]["panels"][0]["limits"]
    assert str(alone) not in limits
    assert session.picture(Question("bank"))[0]["panels"][0]["outside"] < 0.02


def test_a_sentence_moves_the_mass_and_says_what_pulled(session):
    header, _ = session.picture(Question("bank", context=RIVER), detail=1)
    money, river = header["panels"][0]["modes"]
    assert river["mass"] > 0.9 and river["was"] < 0.5 and money["mass"] + river["mass"] == pytest.approx(1, abs=1e-3)
    pull = {word["text"]: word for word in header["pull"]}
    assert pull["grassy"]["mode"] == pull["river"]["mode"] == 1 and pull["grassy"]["nats"] > 1
    assert pull["bank"] == {"text": "bank", "self": True} and pull["of"] == {"text": "of"}


def test_a_sentence_of_which_nothing_is_known_leaves_the_word_alone(session):
    panel = session.picture(Question("bank", context="xyzzy"), detail=1)[0]["panels"][0]
    assert panel["context"] == "" and "no word of the context is known" in panel["unread"]


def test_two_words_share_a_plane_and_their_overlap_has_an_error(session, quickstart):
    header, block = session.picture(Question("bank", other="tuesday"), detail=1)
    value, error = header["overlap"]
    assert (
        value == pytest.approx(quickstart.overlap("bank", "tuesday").value, abs=5 * error + 0.01) and 0 < error < 0.02
    )
    other = header["panels"][0]["other"]
    assert other["word"] == "tuesday" and other["limits"] == header["panels"][0]["limits"]
    assert len(array(other["outline"], block)) > 20


def test_other_models_stand_beside_it_in_the_same_limits():
    session = Session(fake_models(), list(PLACES), 40)
    panels = session.picture(Question("bank", others=(1, 2, 3)), detail=1)[0]["panels"]
    assert [panel["kind"] for panel in panels] == ["plane", "plane", "plane", "point"]
    assert [panel["model"] for panel in panels][1:] == ["GaussianEmbedding", "MixtureEmbedding", "PointEmbedding"]
    assert panels[0]["limits"] == panels[1]["limits"] == panels[2]["limits"]
    assert len(panels[1]["modes"]) == 1 and 0 <= panels[3]["cross"][0] <= 1


def test_one_coordinate_is_a_curve_above_those_of_other_words():
    session = Session([{"w": two_hills(1), "v": two_hills(1)}], ["w", "v"], 40)
    header, block = session.picture(Question("w"), detail=0)
    (panel,) = header["panels"]
    height = array(panel["height"], block)
    assert panel["kind"] == "line" and len(height) == 160 and "outline" not in panel
    assert [row["word"] for row in panel["ridge"]] == ["v"]
    assert array(panel["ridge"][0]["height"], block) == pytest.approx(height, rel=1e-5)
    z = np.linspace(*panel["from"], 160)
    inside = height >= panel["steps"][-1]  # of the 50 % region
    assert height[inside].sum() * (z[1] - z[0]) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("plane", ["coordinates", "pca", "lda"])
def test_more_coordinates_are_seen_in_a_plane(plane):
    model = FakeModel("StochasticEmbedding", extra=2)
    session = Session([model], list(PLACES), 40)
    header, _ = session.picture(Question("bank", plane=plane, x=0, y=1), detail=1)
    assert header["panels"][0]["marginal"] and "marginal over 2 more coordinates" in header["remark"]
    assert ("Held out" in header["remark"]) == (plane == "lda")


def test_discriminants_that_there_are_not_leave_the_principal_axes():
    """A word with one mode: the picture goes on, and says why it is another one."""
    session = Session([FakeModel("StochasticEmbedding", extra=2)], list(PLACES), 40)
    header, _ = session.picture(Question("tuesday", plane="lda"), detail=1)
    assert "There are none here: discriminants need two classes" in header["remark"]
    assert header["panels"][0]["marginal"] and header["remark"].startswith("A marginal over 2 more coordinates")


def test_a_second_word_that_is_not_known_is_said_and_left_out(session):
    header, _ = session.picture(Question("bank", other="bnak"), detail=1)
    assert "'bnak' is not in the vocabulary" in header["unknown"] and "overlap" not in header
    assert header["panels"][0]["word"] == "bank" and "other" not in header["panels"][0]


def test_a_question_from_the_page_is_held_within_bounds():
    q = Question.from_page({"word": "w", "samples": 10**9, "others": [1], "unknown": 3, "x": None})
    assert q == Question("w", samples=50_000, others=(1,))


# --- what is known of a word ------------------------------------------------------------------------------------


def test_every_mark_has_the_sentence_it_explains_best():
    model = lk.load("quickstart")
    model.corpus_ = lk.Corpus.from_sentences(SENSES["bank"]["money"] + SENSES["bank"]["river"], min_count=1)
    known = Known(model, "bank")
    texts, number = known.explained_by(model["bank"].basins.locations)
    said = [texts[i] for i in number]
    assert said[0] in SENSES["bank"]["money"] and said[1] in SENSES["bank"]["river"]


def test_looking_costs_nothing_until_it_is_asked_for(quickstart):
    quickstart.train(False)  # forgets densities
    known = Known(quickstart, "crane")
    assert not known.found
    assert len(known.basins) > 0 and known.found


def test_words_go_by_modes_and_then_by_entropy():
    entries = [{"word": "b", "modes": 2, "entropy": 1.0}, {"word": "a", "modes": 2, "entropy": 2.0}, {"word": "c"}]
    assert [entry["word"] for entry in ambiguity(entries)] == ["a", "b", "c"]
