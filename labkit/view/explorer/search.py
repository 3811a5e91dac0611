"""The words of a model as a list to choose from: completion, nearest spellings, the most ambiguous ones first."""

import difflib
from collections.abc import Iterator

from labkit.view.explorer.known import Known, ambiguity, has_density

LISTED, NEAR = 40, 8  # words in an answer, at most
COMPARED = 20_000  # words among which spellings are compared one by one


class WordList:
    """The words of one model, most frequent first, with what is known of them.

    Attributes:
        entries: word -> {word, count}, and {modes, entropy} (nats) once the word has been ranked.
    """

    def __init__(self, model):
        self.model = model
        counts = getattr(model, "counts_", None)
        counts = [0] * len(model.words) if counts is None else counts.tolist()
        pairs = sorted(zip(model.words, counts, strict=True), key=lambda pair: -pair[1])
        self.entries = {word: {"word": word, "count": count} for word, count in pairs}

    @property
    def ranked(self) -> int:
        """How many words have been ranked."""
        return sum("modes" in entry for entry in self.entries.values())

    def search(self, text: str, order: str = "frequent") -> dict:
        """Words that begin with a text, then those that contain it; if there are none, nearest spellings.

        Arguments:
            order: "frequent", or "ambiguous" for most modes first among the words that have been ranked.
        """
        found = [word for word in self.entries if word.startswith(text)]
        found += [word for word in self.entries if text in word and not word.startswith(text)]
        nearest = self._nearest(text) if text and not found else []
        listed = [self.entries[word] for word in found or nearest]
        if order == "ambiguous":
            listed = ambiguity(listed)
        return {"words": listed[:LISTED], "found": len(found), "nearest": bool(nearest), "ranked": self.ranked,
                "total": len(self.entries)}  # fmt: skip

    def _nearest(self, text: str) -> list[str]:
        vocabulary = getattr(self.model, "vocabulary_", None)
        near = difflib.get_close_matches(text, self.entries, n=NEAR) if len(self.entries) <= COMPARED else []
        near = near or (vocabulary.nearest(text) if vocabulary is not None else [])
        return [word for word in near if word in self.entries]

    def rank(self) -> Iterator[dict]:
        """Count the modes of one word after the other, and give its entry."""
        for word, entry in self.entries.items():
            if "modes" in entry:
                continue
            known = Known(self.model, word) if has_density(self.model, word) else None
            spread = -1e9 if known is None else known.entropy
            entry |= {"modes": 1 if known is None else len(known.basins), "entropy": round(spread, 3)}
            yield entry
