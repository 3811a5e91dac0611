"""Where the package's own data lies: inside an installed labkit, or beside it in a checkout."""

from pathlib import Path


def data_folder() -> Path:
    """The folder with `senses/` and `checkpoints/`.

    A wheel carries it as labkit/data; a checkout has it at the top, where people look for it.

    Raises:
        FileNotFoundError: if neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "data", package.parent / "data"):
        if (folder / "senses").is_dir():
            return folder
    raise FileNotFoundError(
        f"labkit's own data was not found in {package / 'data'} or {package.parent / 'data'}; reinstall labkit"
    )
