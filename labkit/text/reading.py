"""Text files read in bounded memory, and their sentences found again."""

import codecs
import gzip
import itertools
import json
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

LONGEST_PIECE = 1 << 20  # bytes: a longer line (text8 is one line of 100 MB) is handed on in pieces


def open_bytes(path: Path):
    """The bytes of a file, unpacked if its name ends in .gz."""
    if path.is_dir():
        raise ValueError(
            f"{path} is a folder, not a file; pass its files, for example "
            f"sorted(Path({str(path)!r}).glob('*.txt'))"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"the folder {path.parent} does not exist (wanted: the file {path.name} in it)"
        )
    if not path.exists():
        raise FileNotFoundError(
            f"there is no file {path}; to pass the text itself, use Corpus.from_sentences"
        )
    return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")


def decode(line: bytes, path: Path, encoding: str, offset: int = 0) -> str:
    """`line`, which stands at byte `offset` of the file, as text; or an error that names the byte."""
    try:
        return line.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: byte {offset + error.start:,} (0x{line[error.start]:02x}) is not {encoding}, "
            "the encoding tried; pass the one the file was written in, for example encoding='latin-1'"
        ) from None


def _check_encoding(encoding: str) -> None:
    try:
        plain = "a \n".encode(encoding).removeprefix(codecs.BOM_UTF8) == b"a \n"
    except LookupError:
        raise ValueError(
            f"encoding {encoding!r} is not known to Python; expected one such as 'utf-8'"
        ) from None
    if not plain:  # lines are found in the bytes, so that memory stays small and any line can be found again
        raise ValueError(
            f"encoding {encoding!r} does not keep ASCII as it is and cannot be read by lines; "
            "save the file as UTF-8"
        )


def read_lines(path, encoding: str = "utf-8", longest: int | None = LONGEST_PIECE):
    """Yields (text, start, end, last) for each line: its bytes are [start, end) of the (unpacked) file.

    A line above `longest` bytes comes in pieces, cut at spaces; `last` is True for the last piece of a line.
    At most about `longest` bytes are held at a time (None: lines always come whole).

    Raises:
        ValueError: an empty file, a NUL byte (a binary file), bytes that are not of this encoding.
        FileNotFoundError: no such folder or file.
    """
    path = Path(path)
    _check_encoding(encoding)
    offset, held, last = 0, b"", None  # last: whether the piece yielded before ended its line
    with open_bytes(path) as file:
        while True:
            try:
                read = file.readline(-1 if longest is None else longest)
            except (OSError, EOFError) as error:
                raise ValueError(f"{path} cannot be read on from byte {offset:,}: {error}") from None
            if b"\0" in read:
                where = offset + len(held) + read.index(b"\0")
                raise ValueError(
                    f"{path} has a NUL byte at byte {where:,}: it is a binary file, or text in UTF-16; "
                    "expected text, saved as UTF-8"
                )
            line = held + read
            if not line and last is not False:
                break
            ended = longest is None or len(read) < longest or read.endswith(b"\n")
            # Cut at a space, never within a character; with no space yet, hold on.
            cut = len(line) if ended else line.rfind(b" ") + 1
            if cut or ended:
                text = decode(line[:cut], path, encoding, offset)
                text = text.removeprefix("\ufeff") if last is None else text
                last = ended
                yield text, offset, offset + cut, last
            offset, held = offset + cut, line[cut:]
    if last is None:
        raise ValueError(f"{path} is empty; expected text, a sentence or a paragraph a line")


class FileTexts:
    """Sentences found again in their files by byte offset, so that a large corpus holds no text.

    Arguments:
        paths: the files.
        spans: int64 (n, 3), perhaps flat: which file, first byte, byte after the last (of the unpacked text).
        encoding: of the files.
        field: for .jsonl files, the field that holds the sentence.
    """

    def __init__(
        self, paths: Sequence[Path], spans: np.ndarray | array, encoding: str, field: str | None = None
    ):
        self.paths, self.encoding, self.field = list(paths), encoding, field
        self.spans = np.array(spans, dtype=np.int64).reshape(-1, 3)
        self._sizes = [path.stat().st_size for path in self.paths]

    def __len__(self) -> int:
        return len(self.spans)

    def select(self, indices: np.ndarray) -> "FileTexts":
        """These sentences only."""
        return FileTexts(self.paths, self.spans[indices], self.encoding, self.field)

    def _open(self, number: int):
        path = self.paths[number]
        if not path.exists() or path.stat().st_size != self._sizes[number]:
            raise ValueError(f"{path} was moved or changed after it was read; read the corpus again")
        return open_bytes(path)

    def _read(self, file, row: np.ndarray) -> str:
        number, start, end = row.tolist()
        file.seek(start)
        text = decode(file.read(end - start), self.paths[number], self.encoding, start).removeprefix("\ufeff")
        return text.strip() if self.field is None else as_text(json.loads(text)[self.field])

    def __getitem__(self, i: int) -> str:
        with self._open(int(self.spans[i, 0])) as file:
            return self._read(file, self.spans[i])

    def __iter__(self):
        for number, rows in itertools.groupby(self.spans, key=lambda row: int(row[0])):
            with self._open(number) as file:
                for row in rows:
                    yield self._read(file, row)


class JoinedTexts:
    """The sentences of files, and after them sentences that are held in memory."""

    def __init__(self, in_files: FileTexts, in_memory: Sequence[str]):
        self.in_files, self.in_memory = in_files, list(in_memory)

    def __len__(self) -> int:
        return len(self.in_files) + len(self.in_memory)

    def __getitem__(self, i: int) -> str:
        beyond = i - len(self.in_files)
        return self.in_files[i] if beyond < 0 else as_text(self.in_memory[beyond])

    def __iter__(self):
        yield from self.in_files
        yield from map(as_text, self.in_memory)

    def select(self, indices: np.ndarray) -> "JoinedTexts | list[str]":
        """These sentences only; a list if the two kinds are not in their order any more."""
        in_files = indices < len(self.in_files)
        if (np.diff(in_files.astype(int)) > 0).any():
            return [self[int(i)] for i in indices]
        of_files = self.in_files.select(indices[in_files])
        return JoinedTexts(of_files, [self.in_memory[i] for i in indices[~in_files] - len(self.in_files)])


def as_text(sentence: str | Sequence[str]) -> str:
    """A sentence for display: a text as it is, a list of words joined by spaces."""
    return sentence.strip() if isinstance(sentence, str) else " ".join(sentence)


def text_rows(paths: Sequence[Path], encoding: str, spans: array) -> Iterator[tuple[str, bool]]:
    """Yields (piece, whether it ends its line) of text files, without blank lines; adds lines to `spans`."""
    for number, path in enumerate(paths):
        first = None  # byte where the line began whose first pieces were yielded
        for text, start, end, last in read_lines(path, encoding, LONGEST_PIECE):
            if first is None and not text.strip():  # a blank line, or the blank beginning of a long one
                continue
            first = start if first is None else first
            if last:
                spans.extend((number, first, end))
                first = None
            yield text, last


def json_rows(path: Path, field: str, encoding: str, spans: array, columns: dict[str, list]):
    """Yields (sentence, True) for each line of a .jsonl file; adds to `spans`, and fields to `columns`."""
    for number, (text, start, end, _) in enumerate(read_lines(path, encoding, longest=None), 1):
        if not text or text.isspace():
            continue
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number} of {path} is not JSON: {error}") from None
        if not isinstance(record, dict):
            raise ValueError(
                f"line {number} of {path} is {text.strip()!r:.60}; expected a JSON object {{...}}"
            )
        if field not in record:
            raise ValueError(
                f"line {number} of {path} has no field {field!r}; "
                f"it has {', '.join(map(repr, record)) or 'none'}; pass the field with the text: field=..."
            )
        if not isinstance(record[field], str | list):
            raise ValueError(
                f"field {field!r} in line {number} of {path} is {record[field]!r}; "
                "expected a text or a list of words"
            )
        for name, values in columns.items():
            values.append(record.get(name))
        spans.extend((0, start, end))
        yield record[field], True


def characters(texts: Iterable[str], alphabet: str) -> np.ndarray:
    """The texts as one stream of uint8 indices into `alphabet`; see `Corpus.characters`."""
    if not 1 < len(alphabet) < 255 or len(set(alphabet)) != len(alphabet):
        raise ValueError(f"the alphabet is {alphabet!r:.60}; expected 2 to 254 distinct characters")
    space, nothing = alphabet.find(" "), 255
    table = np.full(0x110000, space if space >= 0 else nothing, dtype=np.uint8)
    place = {letter: i for i, letter in enumerate(alphabet)}
    for code in range(0x3000):  # the scripts whose letters carry accents
        base = unicodedata.normalize("NFKD", chr(code))[0]
        if unicodedata.combining(base):
            table[code] = nothing
        elif base in place:
            table[code] = place[base]
    for letter, i in place.items():
        table[ord(letter)] = i

    parts, after_space = [], True
    for piece in _batches(texts):
        characters = unicodedata.normalize("NFKC", piece.lower()).encode("utf-32-le")
        codes = table[np.frombuffer(characters, dtype=np.uint32)]
        codes = codes[codes != nothing]
        if space >= 0 and len(codes):
            blank = codes == space
            codes = codes[~(blank & np.concatenate([[after_space], blank[:-1]]))]
            after_space = bool(blank[-1])
        parts.append(codes)
    stream = np.concatenate(parts) if parts else np.empty(0, dtype=np.uint8)
    return stream[:-1] if len(stream) and stream[-1] == space else stream


def _batches(texts: Iterable[str]) -> Iterator[str]:
    """The texts with a space after each, joined or cut into strings of about the same length."""
    pending, size = [], 0
    for text in texts:
        for a in range(0, len(text), LONGEST_PIECE):
            pending.append(text[a : a + LONGEST_PIECE])
            size += len(pending[-1])
            if size >= LONGEST_PIECE:
                yield "".join(pending)
                pending, size = [], 0
        pending.append(" ")
    yield "".join(pending)
