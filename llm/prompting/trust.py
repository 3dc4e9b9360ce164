"""Templates and conversations of somebody else: what they reach for, and whether they may."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING

from ..errors import LLMError
from ..files import config
from ..net import reach
from ..templates import Template
from ..terminal.asking import confirm, numbered, quoted
from ..text import JSONObject, has_plugin_prefix
from ..text.secrets import masked

if TYPE_CHECKING:
    from ..content import Attachment
    from .request import AnyConversation

# Names are looked up once for a question, and again when something is fetched.
is_inner: Callable[[str], bool] = cache(reach.is_inner)
_WEB = ("http://", "https://")
_INNER = " (within your network)"
_NOBODY = "There is no terminal to ask on. Add --trust if you trust its author"


def check_template(template: Template, *, trust: bool) -> None:
    """Make sure that a template may be used, and that its functions may run.

    A template from a URL or a loader may have texts, a model, options and a schema. Local files,
    addresses within the network, stored fragments, attachments, tools and functions need the
    consent of the user, which is remembered by the content of the template, and of the file that
    its functions are in.

    Args:
        trust: The user consents.

    Raises:
        LLMError: The user declines, there is nobody to ask, or the template runs a command.
    """
    _refuse_commands(template)
    if template.origin not in ("url", "loader"):
        return
    code_path = _read_functions(template)
    subject = f"Template {quoted(name_of(template))}"
    addresses = [*_fragments_of(template), *(template.attachments or ())]
    addresses += [attachment.value for attachment in template.attachment_types or ()]
    wishes = list(_wishes(template, code_path))
    if wishes:
        # Everything in the template but its name.
        fields = template.model_dump(exclude={"name"}, exclude_none=True)
        _need_consent(subject, "used", wishes, fields, name_of(template), trust=trust)
        template.trust_functions()
    _guard(subject, filter(_is_web, addresses), trust=trust)


def _read_functions(template: Template) -> str:
    """The path of a file that a template names for its functions; it holds the code from here on,
    as it is now and not as it may be when it runs."""
    from ..material.tools import is_path, read_code

    given = template.functions or ""
    if not is_path(given):
        return ""
    template.functions = f"{read_code(given)}\n"
    return given


def check_conversation(conversation: AnyConversation, *, trust: bool) -> None:
    """Make sure that the files and addresses may be read that a conversation from elsewhere names.

    Consent is remembered by these and the id of the conversation.

    Raises:
        LLMError: The user declines, or there is nobody to ask.
    """
    from ..logs.read.provenance import attachments_of

    named: list[str] = []
    for message, _ in conversation.foreign_messages:
        for attachment in attachments_of(message):
            if attachment.content:
                # Its bytes are known: nobody needs to look elsewhere.
                attachment.path = None
            elif attachment.path is None or os.path.exists(attachment.path):
                named.append(_place(attachment))
    named = list(dict.fromkeys(named))
    subject = f"Conversation {quoted(conversation.name or conversation.id)}"
    wishes = [f"attachment: {_address(name)}" for name in named if _is_local(name)]
    if wishes:
        content = {"conversation": conversation.id, "wishes": wishes}
        _need_consent(subject, "continued", wishes, content, conversation.id, trust=trust)
    _guard(subject, filter(_is_web, named), trust=trust)


def _need_consent(
    subject: str, done: str, wishes: Iterable[str], content: JSONObject, name: str, *, trust: bool
) -> None:
    """Return where the user consents, now or for the same content before; an `LLMError` if not."""
    text = json.dumps(content, sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    path = config.user_dir() / "trusted_templates.json"
    if digest in config.read_json_object(path):
        return
    listing = "\n".join(f"  {wish}" for wish in wishes)
    intro = f"{subject} comes from elsewhere and wants to use:\n{listing}"
    answer = trust or confirm("Use it, and trust this version of it from now on?", intro)
    if answer is None:
        raise LLMError(f"{intro}\n{_NOBODY}")
    if not answer:
        raise LLMError(f"{subject} is not {done}: you declined")
    entry = {digest: masked(name)}
    config.update_json(path, lambda trusted: trusted.update(entry), indent=2, newline=True)


def _guard(subject: str, urls: Iterable[str], *, trust: bool) -> None:
    """Have the user asked where addresses lead into their network that they have not seen."""
    listed = set(urls)
    # Those that lead there by themselves were asked about.
    allowed = {url for url in listed if is_inner(url)}

    def permit(address: str) -> None:
        if trust or address in allowed:
            return
        intro = f"{subject} comes from elsewhere and leads to {_address(address)}"
        answer = confirm("Fetch it?", intro)
        if answer is None:
            raise LLMError(f"{intro}. {_NOBODY}")
        if not answer:
            raise LLMError(f"{quoted(address)} is not fetched: you declined")
        allowed.add(address)

    for url in listed:
        reach.guard(url, permit)


def _wishes(template: Template, code_path: str) -> Iterator[str]:
    """What the user has to know about, one thing each."""
    for name in filter(_is_local, _fragments_of(template)):
        yield f"fragment: {_address(name)}"
    for value in template.attachments or ():
        yield f"attachment: {_address(value)}"
    for attachment in template.attachment_types or ():
        yield f"attachment: {_address(attachment.value)} as {quoted(attachment.type)}"
    for tool in template.tools or ():
        yield f"tool: {quoted(tool)}"
    if template.functions:
        yield _code_text(template.functions.rstrip(), code_path)


def _code_text(code: str, path: str) -> str:
    count = code.count("\n") + 1
    lines = "1 line" if count == 1 else f"{count} lines"
    where = f" of {quoted(path)}" if path else ""
    return f"functions{where}, {lines}:\n{numbered(code)}"


def _is_web(name: str) -> bool:
    return name.lower().startswith(_WEB)


def _is_local(name: str) -> bool:
    """Whether what is named there only this machine can reach."""
    return is_inner(name) if _is_web(name) else not name.startswith("data:")


def _address(name: str) -> str:
    return f"{quoted(name)}{_INNER if _is_web(name) and is_inner(name) else ''}"


def _place(attachment: Attachment) -> str:
    return str(attachment.path or attachment.url)


def _fragments_of(template: Template) -> list[str]:
    return [*(template.fragments or ()), *(template.system_fragments or ())]


def _refuse_commands(template: Template) -> None:
    """No template may run a command by naming it as a fragment."""
    for name in filter(has_plugin_prefix, _fragments_of(template)):
        from ..material.loaders import load_command_output
        from ..material.registered import fragment_loaders_for

        prefix = name.partition(":")[0]
        if fragment_loaders_for(prefix).get(prefix) is load_command_output:
            raise LLMError(
                f"Template {name_of(template)} names a command, {name!r}: templates cannot run "
                f"commands. Give it yourself with -f {name!r}"
            )


def name_of(template: Template) -> str:
    """What the user calls a template."""
    return template.reference or template.name
