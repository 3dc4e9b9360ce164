"""What a prompt is made of beside its text: templates, schema, fragments, attachments, tools."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from ..content import Attachment, Fragment
from ..errors import AttachmentError, InvalidInput
from ..terminal import clean_argument, read_stdin_text, show_note, stdin_is_terminal
from ..text import JSONObject

if TYPE_CHECKING:
    import sqlite3

    from ..material.fragments import Content, Item, Late
    from ..templates import Template
    from .request import AnyConversation, LogSettings, OutputSettings, Request

    Text: TypeAlias = Fragment | Late

Found = TypeVar("Found")
# What an option gives that may be repeated.
Texts: TypeAlias = tuple[str, ...]


@dataclass(frozen=True)
class ToolChoice:
    """The tools that were chosen, and by whom.

    Args:
        names: Names and specifications of tools that the person chose.
        functions: Python code of theirs, or paths of files with it.
        untrusted_names: Names and specifications of tools that somebody else chose.
        untrusted_functions: Python code that somebody else wrote.
        has_consent: Whether the person agreed to the use of what somebody else chose and wrote.
    """

    names: Texts = ()
    functions: Texts = ()
    untrusted_names: Texts = ()
    untrusted_functions: Texts = ()
    has_consent: bool = False


@dataclass(frozen=True)
class Material:
    """What a request and its templates give together; the command line has the last word.

    Args:
        templates: The templates, applied from left to right.
        model_id: The model that the templates ask for.
        options: Model options by name, as given.
        fragments: Names of fragments in front of the prompt.
        system_fragments: Names of fragments in front of the system prompt.
    """

    system: str | None
    params: Mapping[str, str]
    templates: Sequence[Template]
    model_id: str | None
    schema: JSONObject | None
    options: JSONObject
    fragments: Sequence[str]
    system_fragments: Sequence[str]
    attachments: Sequence[Attachment]
    tools: ToolChoice
    extract: bool
    extract_last: bool

    def fill(self, text: str | None) -> tuple[str | None, str | None]:
        """Prompt and system prompt after the templates, from left to right.

        Args:
            text: The prompt so far; `None` where there is none.

        Raises:
            Template.MissingVariables: A variable has no value.
        """
        values = dict(self.params)
        system = self.system
        for template in self.templates:
            for name, value in (template.defaults or {}).items():
                values.setdefault(name, value)
            filled, filled_system = template.evaluate(text or "", values)
            system = system or filled_system
            if template.prompt:
                joined = text and not template.uses_input
                text = f"{filled}\n{text}" if joined else filled
        return text, system


class TurnInput(NamedTuple):
    """What goes into one turn.

    Args:
        text: The prompt, templates applied.
        fragments: Texts in front of the prompt; some may have to be found by it.
        system_fragments: The same in front of the system prompt.
        drops_pending: Do not run the tool calls that the conversation ends in.
    """

    text: str = ""
    system: str | None = None
    fragments: Sequence[Text] = ()
    system_fragments: Sequence[Text] = ()
    attachments: Sequence[Attachment] = ()
    drops_pending: bool = False

    @property
    def values(self) -> JSONObject:
        """The arguments of `Conversation.prompt` that this gives, beside the text."""
        return {
            "system": self.system,
            "fragments": list(self.fragments),
            "system_fragments": list(self.system_fragments),
            "attachments": list(self.attachments),
        }

    def completed(self, conversation: AnyConversation) -> TurnInput:
        """The same with every fragment that is found by the prompt.

        Raises:
            FragmentNotFound: One cannot be found.
        """
        if not any(map(_is_late, (*self.fragments, *self.system_fragments))):
            return self
        from ..hookspecs import FragmentContext
        from ..material.fragments import contents_of

        context = FragmentContext(self.text, conversation.next_prompt(None).messages)
        texts, attachments = _sorted_out(contents_of(self.fragments, context))
        return self._replace(
            fragments=texts,
            system_fragments=_sorted_out(contents_of(self.system_fragments, context))[0],
            attachments=[*self.attachments, *attachments],
        )

    def lasting(self) -> TurnInput:
        """What is found anew by each further prompt of a chat."""
        # A system prompt takes the place of the one before, so all of it is given again.
        system = self.system_fragments if any(map(_is_late, self.system_fragments)) else ()
        return TurnInput(fragments=list(filter(_is_late, self.fragments)), system_fragments=system)


def gather_material(request: Request) -> Material:
    """What a request and its templates give together."""
    schema = find_schema(request.log, request.schema_input, request.schema_multi)
    templates = []
    for name in request.templates:
        from ..templates import load_template
        from .trust import check_template

        templates.append(load_template(name))
        check_template(templates[-1], trust=request.trust)
    for given in (t.schema_object for t in templates if t.schema_object):
        from ..schemas.validation import check_schema

        # Unlike everything else, it goes before that of the command line.
        schema = given
        check_schema(schema)
    return _merged(request, schema, templates)


def _merged(request: Request, schema: JSONObject | None, templates: list[Template]) -> Material:
    # The first who wants a part of the answer says which.
    askers: list[OutputSettings | Template] = [request.output, *templates]
    asker = next((a for a in askers if a.extract or a.extract_last), request.output)
    return Material(
        system=request.system and clean_argument(request.system),
        params=dict(request.params),
        templates=templates,
        model_id=next((t.model for t in templates if t.model), None),
        schema=schema,
        options=_merged_options(request, templates),
        fragments=[*_joined(t.fragments for t in templates), *request.fragments],
        system_fragments=[
            *_joined(t.system_fragments for t in templates),
            *request.system_fragments,
        ],
        attachments=[
            *_attachments(templates, typed=False),
            *request.attachments,
            *_attachments(templates, typed=True),
            *request.typed_attachments,
        ],
        tools=_chosen_tools(request, templates),
        extract=bool(asker.extract),
        extract_last=bool(asker.extract_last),
    )


def _merged_options(request: Request, templates: Sequence[Template]) -> JSONObject:
    options: JSONObject = {}
    for template in reversed(templates):
        options |= template.options or {}
    # A plugin that adds options to the command may give values that are no texts.
    options |= {
        name: clean_argument(value) if isinstance(value, str) else value
        for name, value in request.options
    }
    return options


def _joined(lists: Iterable[Sequence[str] | None]) -> Texts:
    return tuple(item for items in lists for item in items or ())


def _attachments(templates: Sequence[Template], *, typed: bool) -> Iterator[Attachment]:
    """What the templates attach; an error names the template, and its list."""
    from .inputs import attachment_from, typed_attachment

    for template in templates:
        try:
            if typed:
                for given in template.attachment_types or ():
                    yield typed_attachment(given.value, given.type)
            else:
                yield from map(attachment_from, template.attachments or ())
        except AttachmentError as error:
            field = "attachment_types" if typed else "attachments"
            raise AttachmentError(f"Template {template.name}: {field}: {error}") from error


def _chosen_tools(request: Request, templates: Sequence[Template]) -> ToolChoice:
    own: list[Template] = []
    untrusted: list[Template] = []
    for template in templates:
        # Calls of the tools that somebody else chose are asked about one by one.
        is_own = request.trust or template.origin == "file"
        (own if is_own else untrusted).append(template)
    return ToolChoice(
        (*_joined(t.tools for t in own), *request.tools),
        (*_functions(own), *request.functions),
        _joined(t.tools for t in untrusted),
        _functions(untrusted),
        # Without it the templates would have been refused.
        has_consent=bool(untrusted),
    )


def _functions(templates: Sequence[Template]) -> Texts:
    return tuple(t.functions for t in templates if t.functions and t.functions_are_trusted)


def first_input(request: Request, material: Material, *, may_wait: bool = True) -> TurnInput:
    """Everything that goes into the prompt of a command; standard input is read.

    Where there is nothing to send yet, `may_wait` lets the user type.
    """
    # Before anything is read.
    material.fill("")
    typed = request.prompt
    is_empty = typed is None and not (material.attachments or material.fragments or material.schema)
    may_wait = may_wait and is_empty
    # `-f -` and `-a -` have standard input for themselves, so they come before the text.
    content = load_content(request, material)
    if any(template.uses_input for template in material.templates):
        text, system = material.fill(prompt_text(typed, may_wait=may_wait))
        return content._replace(text=text or "", system=system)
    filled, system = material.fill(None if typed is None else clean_argument(typed))
    text = prompt_text(filled, may_wait=filled is None and may_wait)
    return content._replace(text=text, system=system)


def prompt_text(typed: str | None, *, may_wait: bool) -> str:
    """The text of the prompt: standard input, a space, and what was typed.

    Standard input that is a terminal is waited for only where `may_wait` says so.
    """
    is_terminal = stdin_is_terminal()
    if may_wait and is_terminal:
        show_note("Type the prompt, and end it with Ctrl-D on a line of its own")
    piped = read_stdin_text() if may_wait or not is_terminal else ""
    if typed is None:
        return piped
    return f"{piped} {clean_argument(typed)}" if piped else clean_argument(typed)


def load_content(request: Request, material: Material) -> TurnInput:
    """The fragments and attachments of a prompt, without its text."""
    log = request.log
    fragments, attachments = find_fragments(log, material.fragments)
    system_fragments, _ = find_fragments(log, material.system_fragments, only_text=True)
    if request.docs is not None:
        from ..documents.asking import question_about

        sources = question_about(request.docs, quotes=request.quotes or request.strict)
        fragments = [sources, *fragments]
    elif request.quotes or request.strict:
        raise InvalidInput("--quotes and --strict are about documents: name them with --docs")
    return TurnInput(
        fragments=fragments,
        system_fragments=system_fragments,
        attachments=[*material.attachments, *attachments],
    )


def load_fragments(
    log: LogSettings, names: Sequence[str], *, only_text: bool = False
) -> tuple[list[Fragment], list[Attachment]]:
    """The texts and attachments of some fragments, without a prompt that they could be found by;
    `FragmentNotFound` where there is no such."""
    if not names:
        return [], []
    from ..material.fragments import contents_of

    return _sorted_out(contents_of(_resolved(log, names, only_text=only_text)))


def find_fragments(
    log: LogSettings, names: Sequence[str], *, only_text: bool = False
) -> tuple[list[Text], list[Attachment]]:
    """As `load_fragments`; those that depend on the prompt are found when it is known."""
    if not names:
        return [], []
    found = _resolved(log, names, only_text=only_text)
    texts = [item for item in found if not isinstance(item, Attachment)]
    return texts, [item for item in found if isinstance(item, Attachment)]


def _resolved(log: LogSettings, names: Sequence[str], *, only_text: bool) -> list[Item]:
    from ..logs.read.shared import find_fragment
    from ..material.fragments import resolve_all

    return resolve_all(names, _stored(log, find_fragment), allow_attachments=not only_text)


def _is_late(text: Text) -> bool:
    return not isinstance(text, str)


def _sorted_out(found: Sequence[Content]) -> tuple[list[Fragment], list[Attachment]]:
    texts = [item for item in found if isinstance(item, Fragment)]
    return texts, [item for item in found if isinstance(item, Attachment)]


def find_schema(log: LogSettings, name: str | None, multi: str | None = None) -> JSONObject | None:
    """The schema that a person named, `multi` for the items of an answer; `None` where they named
    none."""
    if not (multi or name):
        return None
    from ..logs.read import shared
    from ..schemas.notation import multi_schema, resolve_schema
    from ..schemas.validation import check_schema
    from ..templates import load_template

    find_stored = _stored(log, shared.find_schema)
    schema = resolve_schema(multi or name or "", load_template, find_stored)
    schema = multi_schema(schema) if multi else schema
    check_schema(schema)
    return schema


def _stored(
    log: LogSettings, find: Callable[[sqlite3.Connection, str], Found | None]
) -> Callable[[str], Found | None]:
    """Gives what the log database has under a name; nothing where there is no such file."""

    def look_up(name: str) -> Found | None:
        if not log.path.exists():
            return None
        from ..logs.file.db import open_for_reading

        with closing(open_for_reading(log.path, may_change=log.is_on)) as conn:
            return find(conn, name)

    return look_up
