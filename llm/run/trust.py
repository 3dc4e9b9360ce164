"""Templates that somebody else wrote: what they reach for, and whether they may."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from ..errors import LLMError
from ..files import config
from ..templates import Template
from ..terminal.asking import confirm
from ..text import has_plugin_prefix

_WEB = ("http://", "https://")


def check_template(template: Template, *, trust: bool) -> None:
    """Make sure that a template may be used, and that its functions may run.

    A template from a URL or a loader may have texts, a model, options and a schema. Local files,
    stored fragments, attachments, tools and functions need the consent of the user, which is
    remembered by the content of the template.

    Args:
        trust: The user consents.

    Raises:
        LLMError: The user declines, there is nobody to ask, or the template runs a command.
    """
    _refuse_commands(template)
    if template.origin not in ("url", "loader"):
        return
    wishes = list(_wishes(template))
    if not wishes:
        return
    # Everything in the template but its name.
    fields = template.model_dump(exclude={"name"}, exclude_none=True)
    content = json.dumps(fields, sort_keys=True, default=str)
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    path = config.user_dir() / "trusted_templates.json"
    if digest not in config.read_json_object(path):
        name = name_of(template)
        listing = "\n".join(f"  {wish}" for wish in wishes)
        intro = f"Template {name} comes from elsewhere and wants to use:\n{listing}"
        question = f"{intro}\nUse it, and trust this version of it from now on?"
        answer = trust or confirm(question)
        if answer is None:
            raise LLMError(
                f"{intro}\nThere is no terminal to ask on. Add --trust if you trust its author"
            )
        if not answer:
            raise LLMError(f"Template {name} is not used: you declined")
        entry = {digest: name}
        config.update_json(path, lambda trusted: trusted.update(entry), indent=2, newline=True)
    template.trust_functions()


def _wishes(template: Template) -> Iterator[str]:
    """A line for each thing that the user has to know about."""
    for name in _fragments_of(template):
        if not name.startswith(_WEB):
            yield f"fragment: {name}"
    for value in template.attachments or ():
        yield f"attachment: {value}"
    for attachment in template.attachment_types or ():
        yield f"attachment: {attachment.value} as {attachment.type}"
    for tool in template.tools or ():
        yield f"tool: {tool}"
    if template.functions:
        code = template.functions.strip().replace("\n", "\n    ")
        yield f"functions:\n    {code}"


def _fragments_of(template: Template) -> list[str]:
    return [*(template.fragments or ()), *(template.system_fragments or ())]


def _refuse_commands(template: Template) -> None:
    """No template may run a command by naming it as a fragment."""
    for name in filter(has_plugin_prefix, _fragments_of(template)):
        import llm

        from ..material.loaders import load_command_output

        if llm.get_fragment_loaders().get(name.partition(":")[0]) is load_command_output:
            raise LLMError(
                f"Template {name_of(template)} names a command, {name!r}: templates cannot run "
                f"commands. Give it yourself with -f {name!r}"
            )


def name_of(template: Template) -> str:
    """What the user calls a template."""
    return template.reference or template.name
