"""From text to words."""

import functools
import itertools
import re
import unicodedata
import warnings
from collections.abc import Callable


@functools.cache
def _marks() -> str:
    """Combining marks of the basic plane, as ranges for a character class.

    `\\w` leaves them out, which would cut Hindi or Thai words at every vowel sign; the two joiners
    (U+200C, U+200D) stand inside Persian and Indic words in the same way.
    """
    codes = [c for c in range(0x300, 0x10000) if unicodedata.category(chr(c))[0] == "M"] + [0xFFFFF]
    ranges, first = [], codes[0]
    for code, following in itertools.pairwise(codes):
        if following != code + 1:
            ranges.append(f"{chr(first)}-{chr(code)}")
            first = following
    return "".join(ranges) + "\u200c\u200d"


def word_pattern(apostrophes: bool = True, hyphens: bool = False, numbers: bool = False) -> str:
    """The regular expression of a word: Unicode letters and their marks, perhaps joined inside.

    Without `numbers` a word that touches a digit ("2nd", "mp3") is left out whole: no stump ("nd") remains.
    """
    letter = r"[^\W_]" if numbers else r"[^\W\d_²³¹¼½¾]"
    core = f"{letter}++(?:[{_marks()}]++{letter}*+)*+"  # possessive: nothing to gain by backtracking
    joiners = ("'" if apostrophes else "") + ("\u2010\u2011-" if hyphens else "")
    word = f"{core}(?:[{joiners}]{core})*+" if joiners else core
    if numbers:
        return rf"(?<![^\W_])(?:\d++(?:[.,]\d++)++(?![^\W_])|{word})"
    return rf"(?<![^\W_]){word}(?!\d)"


class Tokenizer:
    r"""Cuts a text into words; its settings are plain JSON.

    The text is lower-cased, brought to a Unicode normal form, and the matches of a pattern are its words.

    Arguments:
        lowercase: whether to lower-case.
        normalize: "NFC", "NFKC", "NFD", "NFKD", or None for the text as it is.
        apostrophes: keep them inside words ("don't" is one word; a curly one is made straight).
        hyphens: keep them inside words ("well-known" is one word, not two).
        numbers: keep words with digits ("1990", "3.5", "2nd"); otherwise they are left out.
        pattern: a regular expression to use in place of the three options above, e.g. r"\S+" for text that is
            already cut at spaces.
        function: a function from text (normalised, lower-cased if asked) to a list of words, in place of any
            pattern. Its name is saved, the function is not: `from_dict` takes it again.

    Raises:
        ValueError: an unknown normal form, or a pattern that is no regular expression.

    Example:
        >>> Tokenizer()("The bank’s clerk, No. 2, doesn't row.")
        ['the', "bank's", 'clerk', 'no', "doesn't", 'row']
        >>> Tokenizer(hyphens=True, numbers=True)("A well-known 3.5 m pole")
        ['a', 'well-known', '3.5', 'm', 'pole']
    """

    def __init__(
        self,
        lowercase: bool = True,
        normalize: str | None = "NFC",
        apostrophes: bool = True,
        hyphens: bool = False,
        numbers: bool = False,
        pattern: str | None = None,
        function: Callable[[str], list[str]] | None = None,
    ):
        if normalize not in ("NFC", "NFKC", "NFD", "NFKD", None):
            raise ValueError(f"normalize is {normalize!r}; expected 'NFC', 'NFKC', 'NFD', 'NFKD' or None")
        self.lowercase, self.normalize = bool(lowercase), normalize
        self.apostrophes, self.hyphens, self.numbers = bool(apostrophes), bool(hyphens), bool(numbers)
        self.pattern, self.function = pattern, function
        self._missing = None  # name of a function that was not saved
        try:
            self._regex = re.compile(pattern or word_pattern(apostrophes, hyphens, numbers))
        except re.error as error:
            raise ValueError(f"pattern {pattern!r} is not a regular expression: {error}") from None

    def __call__(self, text) -> list[str]:
        """The words of `text` (str), in order."""
        if not isinstance(text, str):
            raise ValueError(
                f"expected a text (str) to cut into words, got {type(text).__name__}: {text!r:.60}"
            )
        if self._missing:
            raise ValueError(
                f"this tokenizer needs the function {self._missing!r}, which is not saved; "
                f"pass it: Tokenizer.from_dict(settings, function={self._missing})"
            )
        if self.lowercase:
            text = text.lower()
        if self.normalize and not text.isascii():  # after lower(), which can undo a normal form
            text = unicodedata.normalize(self.normalize, text)
        if self.function is not None:
            return list(self.function(text))
        if self.apostrophes and self.pattern is None:
            text = text.replace("’", "'")
        if self._regex.groups:  # findall would give the groups
            return [match[0] for match in self._regex.finditer(text)]
        return self._regex.findall(text)

    def to_dict(self) -> dict:
        """The settings as plain JSON; of a function only the name."""
        names = ("lowercase", "normalize", "apostrophes", "hyphens", "numbers", "pattern")
        name = self._missing or getattr(self.function, "__qualname__", None)
        if name is None and self.function is not None:
            name = type(self.function).__name__
        return {key: getattr(self, key) for key in names} | {"function": name}

    @classmethod
    def from_dict(cls, settings: dict, function=None) -> "Tokenizer":
        """The tokenizer of these settings.

        Where they name a function and none is passed, it warns, and the tokenizer raises when it is called.
        """
        settings = dict(settings)
        name = settings.pop("function", None)
        tokenizer = cls(**settings, function=function)
        if name is not None and function is None:
            warnings.warn(
                f"this tokenizer was made with the function {name!r}, which is not saved; "
                f"pass it again before cutting new text: Tokenizer.from_dict(settings, function={name})",
                stacklevel=2,
            )
            tokenizer._missing = name
        return tokenizer

    def __eq__(self, other) -> bool:
        same = isinstance(other, Tokenizer) and self.to_dict() == other.to_dict()
        return same and self.function is other.function

    __hash__ = None

    def __repr__(self) -> str:
        default = Tokenizer().to_dict()
        return f"Tokenizer({', '.join(f'{k}={v!r}' for k, v in self.to_dict().items() if v != default[k])})"
