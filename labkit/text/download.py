"""Public corpora by name."""

import os
from pathlib import Path
from typing import NamedTuple

FOLDER = "LABKIT_DATA"  # the environment variable that names a folder with copies


class Source(NamedTuple):
    """Where a corpus comes from."""

    path: str  # under the folder LABKIT_DATA
    about: str  # what it is, and its licence
    obtain: str  # how to come by it where there is no url
    url: str | None = None
    sha256: str | None = None


SOURCES = {
    "wikinews": Source(
        "text/wikinews.txt",
        "English Wikinews, one paragraph a line (CC BY 2.5)",
        "extract the article text from a Wikimedia dump of English Wikinews",
    ),
    "enwiki2018": Source(
        "text/enwiki2018.txt",
        "English Wikipedia pages created in early 2018, one paragraph a line (CC BY-SA)",
        "extract the article text from a Wikimedia dump of English Wikipedia",
    ),
    "state_union": Source(
        "text/state_union.txt",
        "State of the Union addresses, 1945-2006 (public domain)",
        "join the files of the state_union corpus of NLTK, each after a line with its date",
    ),
    "coarsewsd20": Source(
        "coarsewsd20",
        "CoarseWSD-20, Loureiro et al. 2021, one folder a word (CC BY-NC 4.0)",
        "download it from where its authors publish it",
    ),
    "coarsewsd12": Source(
        "coarsewsd12",
        "12 of the 20 words of CoarseWSD-20, Loureiro et al. 2021 (CC BY-NC 4.0)",
        "download CoarseWSD-20 from where its authors publish it and keep the words that you want",
    ),
}


def fetch(name: str) -> Path:
    """The file (or folder) of a public corpus: from the folder LABKIT_DATA if it is there, else downloaded.

    It is downloaded once, checked against its SHA-256 and kept in the cache of the user.

    Raises:
        KeyError: a name that is not in `SOURCES`.
        FileNotFoundError: it is not there and cannot be downloaded; the message says how to get it.

    Example:
        >>> fetch("wikipedia")
        Traceback (most recent call last):
        labkit.text.download.UnknownCorpus: no corpus is called 'wikipedia'; expected one of ...
    """
    if name not in SOURCES:
        raise UnknownCorpus(name)
    return locate(name, SOURCES[name])


def locate(name: str, source: Source) -> Path:
    """The file (or folder) of a source: from the folder LABKIT_DATA if it is there, else downloaded and checked.

    A .zip is unpacked; what it holds is given as a folder, the one at its top if it has just one.

    Raises:
        FileNotFoundError: it is not there and cannot be downloaded; the message says how to get it.
        ValueError: what was downloaded has another SHA-256.
    """
    folder = os.environ.get(FOLDER)
    if folder:
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"the folder {folder} that {FOLDER} names does not exist")
        path = Path(folder) / source.path
        if path.exists():
            return path
    if source.url is None:
        looked = (
            f"{source.path} is not in the folder {folder} that {FOLDER} names"
            if folder
            else f"{FOLDER} is not set"
        )
        raise FileNotFoundError(
            f"{name!r} ({source.about}) cannot be downloaded by name and {looked}; "
            f"to get it, {source.obtain}, save it as {source.path} in a folder, and set {FOLDER} to it"
        )
    import pooch

    cache = Path(pooch.os_cache("labkit"))
    archive = source.url.endswith(".zip")
    inside = pooch.Unzip(extract_dir=f"{name}.unpacked") if archive else None
    path = pooch.retrieve(source.url, f"sha256:{source.sha256}", path=cache, processor=inside)
    return _top(cache / f"{name}.unpacked") if archive else Path(path)


def _top(folder: Path) -> Path:
    """A folder, or the one folder in it if there is nothing else (but what macOS adds)."""
    entries = [path for path in folder.iterdir() if not path.name.startswith(("__MACOSX", "."))]
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


class UnknownCorpus(KeyError):
    """A name that is not in the registry."""

    def __str__(self) -> str:
        return (
            f"no corpus is called {self.args[0]!r}; expected one of {', '.join(map(repr, sorted(SOURCES)))}"
        )
