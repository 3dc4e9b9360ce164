"""What the commands about embeddings share: their options, models and databases."""

from __future__ import annotations

import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import LLMError, NotFound
from ._options import flag, option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..embeddings.collection import Collection
    from ..models.embedding import EmbeddingModel

database_option = option(
    "-d",
    "--database",
    type=click.Path(dir_okay=False),
    envvar="LLM_EMBEDDINGS_DB",
    show_envvar=True,
    help="Path to the database of embeddings, or postgresql://... with llm[postgres].",
)
model_option = option(
    "-m",
    "--model",
    "model_id",
    envvar="LLM_EMBEDDING_MODEL",
    show_envvar=True,
    help="Embedding model to use: its id or an alias. A collection keeps the one it was made with.",
)
store_option = flag("--store", help="Keep the content itself, too, not only its vector.")
content_option = option("-c", "--content", help="Text to embed.")
input_option = option(
    "-i",
    "--input",
    "input_path",
    type=click.Path(exists=True, readable=True, allow_dash=True, dir_okay=False),
    help="File to embed, - for standard input.",
)
binary_option = flag("--binary", help="Take the input as bytes, not as text.")


def database_path(database: str | None) -> str | Path:
    """The database of embeddings to use: a path, or the address of a server."""
    from ..embeddings.store import is_address
    from ..files.config import embeddings_db_path

    if is_address(database):
        return str(database)
    return Path(database) if database else embeddings_db_path()


def sqlite_path(database: str | None) -> Path:
    """The file that `--sql` reads: the database of embeddings, where that is a file."""
    from ..files.config import embeddings_db_path

    path = database_path(database)
    return path if isinstance(path, Path) else embeddings_db_path()


def embedding_model(model_id: str | None) -> EmbeddingModel:
    """The model to embed with: the one named, else the default one, else a local one.

    Raises:
        UnknownModelError: There is no model of that name.
        NotFound: None is named, and there is no default.
    """
    import llm

    from ..registry.embedding import resolve_default_embedding_model

    name = model_id or resolve_default_embedding_model()
    if name is None:
        raise NotFound(
            "You need to specify an embedding model (no default model is set): name one with -m, "
            "or choose it with 'llm embed-models default'; 'llm embed-models' lists them, and "
            "'llm local install --embeddings' brings one that needs no key"
        )
    return llm.get_embedding_model(name)


@contextmanager
def collection_to_fill(
    name: str, database: str | None, model_id: str | None
) -> Iterator[Collection]:
    """A collection with the model that it was made with, or a new one with that named."""
    from ..embeddings.collection import Collection

    path = database_path(database)
    exists = Collection.exists(path, name)
    model = None if exists else embedding_model(model_id)
    with closing(Collection(name, path, model=model)) as collection:
        collection.model()
        yield collection


@contextmanager
def existing_collection(name: str, database: str | None) -> Iterator[Collection]:
    """A collection that is there.

    Raises:
        NotFound: It is not.
    """
    from ..embeddings.collection import Collection

    path = database_path(database)
    if not Collection.exists(path, name):
        raise NotFound(
            f"Collection does not exist: {name!r} is not in {path} ('llm collections' lists them)"
        )
    with closing(Collection(name, path)) as collection:
        yield collection


def content_to_embed(
    content: str | None, input_path: str | None, *, binary: bool
) -> str | bytes | None:
    """What `-c`, `-i` or standard input give, in this order; `None` where there is nothing.

    Raises:
        LLMError: A file that is to be text is none.
    """
    from ..terminal import STDIN, clean_argument, read_stdin_bytes

    if content:
        return clean_argument(content)
    if input_path in (None, STDIN):
        raw, name = read_stdin_bytes(), "Standard input"
    else:
        raw, name = Path(str(input_path)).read_bytes(), str(input_path)
    if not raw:
        return None
    if binary:
        return raw
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        problem = f"{name} is not UTF-8 text ({error.reason} at byte {error.start})"
        raise LLMError(f"{problem}: embed it as bytes with --binary") from error


def write_bytes(data: bytes) -> None:
    """Write bytes to standard output."""
    if sys.stdout is not None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
