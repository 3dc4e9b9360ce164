"""For the commands of plugins: the options of `llm prompt`, and prompting a model of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .._lazy import for_hints
from ..errors import LLMError
from . import _options as shared

if TYPE_CHECKING:
    from ..models.base import _Model
    from ..prompting.material import Material
    from ..prompting.request import Request
    from ._options import Command
else:
    for_hints(
        globals(),
        {
            "llm.commands._options": "Command",
            "llm.models.base": "_Model",
            "llm.prompting.material": "Material",
            "llm.prompting.request": "Request",
        },
    )


def prompt_options(*names: str) -> Callable[[Command], Command]:
    """The options of `llm prompt` and `llm chat`, for a command of a plugin.

    Args:
        names: `system`, `template`, `param`, `trust`, `model_options`, `schema`, `schema_multi`,
            `fragment`, `system_fragment`, `attachment`, `typed_attachment`, `no_stream`,
            `hide_reasoning`, `key`, `retries`, `timeout`, `truncate`, `raw`; `tools` for all that
            is about tools. They are listed in this order by `--help`.

    Raises:
        ValueError: There is no such option.
    """
    options = []
    for name in names:
        add = shared.tool_options if name == "tools" else getattr(shared, f"{name}_option", None)
        if add is None:
            raise ValueError(f"There is no option {name!r} of llm prompt")
        options.append(add)
    return shared.all_of(*options)


def run_prompt(
    make_model: Callable[[str], _Model], given: Mapping[str, object], *, chat: bool = False
) -> None:
    """Answer a prompt as `llm prompt` does, or hold a chat, with a model that is not registered.

    Nothing is logged.

    Args:
        make_model: Makes the model of the name that `model_id` or a template gives.
        given: The values of the options that `prompt_options` added, by the names of their
            parameters, with `prompt` and `model_id` where there are such parameters.
        chat: Hold a chat.

    Raises:
        LLMError: The request cannot be met.
        Exception: Whatever the model raised.
    """
    from dataclasses import replace

    from ..prompting.material import find_schema, gather_material

    request = shared.request_from({**given, "no_log": True})
    if chat and request.prompt is not None:
        raise LLMError("--chat takes no prompt: it asks for one")
    material = gather_material(request)
    # Here the command line has the last word on the schema, too.
    schema = find_schema(request.log, request.schema_input, request.schema_multi)
    material = replace(material, schema=schema or material.schema)
    name = request.model_id or material.model_id
    if not name:
        raise LLMError("No model is named: add -m MODEL; --models lists those of the server")
    model = make_model(name)
    if chat:
        from ..prompting.repl import run_chat
        from .chat import make_console

        # Stored fragments belong to the log.
        run_chat(request, make_console(), ("!attach",), material, model)
    else:
        from ..prompting.execute import run_prompt

        run_prompt(_with_input(request, material), material, model)


def _with_input(request: Request, material: Material) -> Request:
    """The request, with standard input read where there is nothing else to send."""
    from dataclasses import replace

    from ..terminal import read_stdin_text, stdin_is_terminal

    has_text = request.prompt is not None or any(t.prompt for t in material.templates)
    if has_text or material.attachments or material.schema or stdin_is_terminal():
        return request
    text = read_stdin_text()
    if not text.strip():
        raise LLMError("Nothing to send: give a prompt, an attachment or a schema")
    return replace(request, prompt=text)
