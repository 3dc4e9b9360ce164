"""Which local models are installed: the folder `local` of the user directory.

`local/models.json` lists them; the files that belong to us lie beside it, the others stay where
their owner keeps them. Reading the list is all that start-up pays, and only where it exists.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import llm
from llm.errors import ConfigError, InvalidInput, ModelError, NotFound

from . import list_path, local_dir

DEFAULT_NAME = "smollm2-135m"
EMBEDDING_NAME = "wordllama"
ID_PREFIX = "local/"
GGUF_MAGIC = b"GGUF"
# A table with a vector for each token; what splits texts into tokens lies beside it.
TABLE_SUFFIX = ".safetensors"
# What an entry of the list may have beside its file and its size.
_OPTIONAL = ("sha256", "source", "aliases", "options", "embeds")
_INSTALLING = {
    DEFAULT_NAME: "llm local install",
    EMBEDDING_NAME: "llm local install --embeddings",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class InstalledModel:
    """A model that is registered in `models.json`.

    Attributes:
        name: The part of the model id after `local/`.
        path: The GGUF file.
        is_owned: Whether the file lies in our folder and goes away with the model.
        size_bytes: Size of the file when it was added.
        sha256: Its hash, where it was checked.
        source: Where it came from: a URL, a package or a path.
        aliases: Further names of the model.
        options: Values sent for the options that a prompt leaves open.
        embeds: Whether it embeds texts, and answers no prompts.
    """

    name: str
    path: Path
    is_owned: bool
    size_bytes: int = 0
    sha256: str | None = None
    source: str | None = None
    aliases: tuple[str, ...] = ()
    options: llm.JSONObject = field(default_factory=dict)
    embeds: bool = False

    @property
    def is_table(self) -> bool:
        """Whether it is a table of vectors, which needs no engine."""
        return self.path.suffix == TABLE_SUFFIX

    @property
    def tokenizer(self) -> Path:
        """What splits texts into the tokens of a table."""
        return self.path.with_suffix(".json")

    @property
    def files(self) -> list[Path]:
        """All files of the model."""
        return [self.path, self.tokenizer] if self.is_table else [self.path]

    def require_files(self) -> None:
        """Refuse to go on without the files.

        Raises:
            ModelError: One is missing; the message says how to get it back.
        """
        for path in self.files:
            if not path.is_file():
                raise ModelError(
                    f"The file of {self.model_id} is missing: {path}. Run: {self._remedy()}"
                )

    def _remedy(self) -> str:
        if self.name in _INSTALLING:
            return _INSTALLING[self.name]
        add = f"llm local add {'--embeddings ' if self.embeds else ''}{self.name}"
        return f"llm local remove {self.name}; {add} {self.source or 'FILE.gguf'}"

    @property
    def model_id(self) -> str:
        """The id under which the model is prompted."""
        return ID_PREFIX + self.name

    def to_entry(self) -> llm.JSONObject:
        """The model as it stands in `models.json`: a file of ours by its name alone."""
        values = asdict(self)
        return {
            "file": self.path.name if self.is_owned else str(self.path),
            "size_bytes": self.size_bytes,
            **{name: values[name] for name in _OPTIONAL if values[name]},
        }


def installed_models(*, embeds: bool | None = None) -> list[InstalledModel]:
    """The installed models, the default ones first, then in the order of their addition.

    Args:
        embeds: Only those that embed texts, or only the others.

    Raises:
        ConfigError: `models.json` cannot be used.
    """
    path = list_path()
    if not path.exists():
        return []
    document: Any = llm.read_json_object(path)
    entries = document.get("models", {})
    if not isinstance(entries, dict):
        raise ConfigError(path, "'models' is not a JSON object", "Repair the file or delete it")
    models = [_from_entry(path, name, entry) for name, entry in entries.items()]
    wanted = [model for model in models if embeds in (None, model.embeds)]
    return sorted(wanted, key=lambda model: model.name not in _INSTALLING)


def _from_entry(list_file: Path, name: str, entry: object) -> InstalledModel:
    if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
        raise ConfigError(
            list_file, f"the model {name!r} has no file", f"Run: llm local remove {name}"
        )
    file = Path(entry["file"])
    known = {key: entry[key] for key in ("size_bytes", *_OPTIONAL) if key in entry}
    known["aliases"] = tuple(known.get("aliases", ()))
    return InstalledModel(name, list_file.parent / file, not file.is_absolute(), **known)


def find_model(name: str) -> InstalledModel:
    """The installed model called `name`, with or without the prefix `local/`.

    Raises:
        NotFound: There is none; the message lists those that exist.
    """
    wanted = name.removeprefix(ID_PREFIX)
    models = installed_models()
    for model in models:
        if model.name == wanted or wanted in model.aliases:
            return model
    names = ", ".join(model.name for model in models) or "none"
    raise NotFound(f"No local model is called {wanted!r}. Installed: {names}")


def check_new_name(name: str) -> None:
    """Refuse a name that cannot be a file name, or is taken.

    Raises:
        InvalidInput: Characters that are not allowed, or a model of that name exists.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} cannot be the name of a model: use letters, digits, '.', '_' and '-', "
            "beginning with a letter or a digit"
        )
    # Without regard to case: the file systems of macOS and Windows cannot tell the files apart.
    if any(model.name.casefold() == name.casefold() for model in installed_models()):
        raise InvalidInput(
            f"A local model called {name!r} exists already. To replace it: llm local remove {name}"
        )


def owned_path(name: str, suffix: str = ".gguf") -> Path:
    """Where the file of a model lies that belongs to us."""
    return local_dir() / f"{name}{suffix}"


def check_gguf(path: Path) -> int:
    """The size in bytes of a file that begins as a GGUF model does.

    Raises:
        ModelError: The file cannot be read or is something else.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(GGUF_MAGIC))
        size = path.stat().st_size
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror or error}") from error
    if magic != GGUF_MAGIC:
        raise ModelError(f"{path} is not a GGUF model file: it does not begin with 'GGUF'")
    return size


def register(model: InstalledModel) -> InstalledModel:
    """`model`, once it is written to the list; an entry of the same name is replaced."""
    _update(lambda models: models.update({model.name: model.to_entry()}))
    return model


def unregister(name: str) -> None:
    """Take the model called `name` off the list; its file stays."""
    _update(lambda models: models.pop(name, None))


def _update(change: Callable[[llm.JSONObject], object]) -> None:
    path = list_path()
    path.parent.mkdir(parents=True, exist_ok=True)

    def change_document(document: llm.JSONObject) -> None:
        change(document.setdefault("models", {}))

    llm.update_json(path, change_document, indent=2, newline=True)


def megabytes(size_bytes: int) -> str:
    """A size as people read it, like `98.4 MB`."""
    return f"{size_bytes / 1e6:,.1f} MB"
