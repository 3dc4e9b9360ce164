"""The loop of `llm chat`: lines in, turns out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ConversationNotSupported
from ..terminal import OutputClosed, say, write_err
from ..text import edit_distance
from .execute import ask, cite, follow_up, note_ignored_history
from .inputs import attachment_from
from .material import Material, Texts, TurnInput, find_fragments, load_content
from .recorder import Recorder
from .request import resolve
from .signals import Stopped, dying_tidily

if TYPE_CHECKING:
    from ..content import Attachment
    from .line_editor import LineReader
    from .request import AnyModel, Request, Resolved

PROMPT = "> "
# Lines that begin with these name files.
INSTRUCTIONS = ("!fragment", "!attach")
# What each of them needs.
_NEEDED = {
    "!fragment": "!fragment needs an alias, hash, path or URL, as in: !fragment notes.txt",
    "!attach": "!attach needs a path or URL, as in: !attach photo.png",
}
_COMMANDS = ("!multi", "!end", "!edit", "!help")
# What people type who know other programs.
_LEAVING = ("/exit", "/quit", "/bye", "!exit", "!quit")
# A word that is no more than so many slips away from a command was meant to be one.
_MAX_SLIPS = 2
_MAX_LENGTH = 20
START_LINES = (
    "Type 'exit' or 'quit' to exit",
    "Type '!multi' to enter multiple lines, then '!end' to finish",
    "Type '!edit' to open your default editor and modify the prompt",
    "Type '!fragment <my_fragment> [<another_fragment> ...]' to insert one or more fragments",
    "Type '!attach <path or URL> [...]' to attach files to the next prompt",
)


class Console(NamedTuple):
    """What the chat needs of the terminal that only the command knows how to do.

    Args:
        read_line: Gives the next line.
        edit: Opens an editor and gives what was written there, `None` if nothing was saved.
        report: Shows an error; the chat goes on.
    """

    read_line: LineReader
    edit: Callable[[], str | None]
    report: Callable[[Exception], None]


def run_chat(
    request: Request,
    console: Console,
    instructions: Texts = INSTRUCTIONS,
    material: Material | None = None,
    model: AnyModel | None = None,
) -> None:
    """Hold a chat: read a prompt, answer it, keep the turn, until the user leaves.

    Args:
        instructions: The words that begin a line which names files; elsewhere they are text.
        material: What the prompts are made of, where it was gathered before.
        model: The model that answers, where it is not one that the request names.

    Raises:
        LLMError: The request cannot be met, or the model takes no conversation.
    """
    resolved = resolve(request, material, model)
    model = resolved.model
    if not model.supports_conversation:
        raise ConversationNotSupported(f"{model} does not support conversations")
    # From here on it is masked, in the first line for the history already.
    with suppress(Exception):
        model.get_key(request.key)
    say("\n".join([f"Chatting with {model.model_id}", *_start_lines(instructions)]))
    with dying_tidily(), Recorder(request.log) as recorder:
        chat = _Chat(resolved, recorder, console, instructions)
        for text in read_prompts(console.read_line, console.edit, instructions):
            chat.turn(text)


def _start_lines(instructions: Texts) -> list[str]:
    missing = set(INSTRUCTIONS) - set(instructions)
    return [line for line in START_LINES if not any(word in line for word in missing)]


class _Chat:
    """A chat under way: what has to be said once is said once."""

    def __init__(
        self, resolved: Resolved, recorder: Recorder, console: Console, instructions: Texts
    ) -> None:
        self._resolved = resolved
        self._recorder = recorder
        self._console = console
        self._instructions = instructions
        # A variable without a value is refused before anything is read.
        resolved.material.fill("")
        # What goes with the first prompt, from then on it is in the history; and what is found
        # by each prompt anew.
        self._content = load_content(resolved.request, resolved.material)
        self._check(self._content.attachments)
        self._attached: list[Attachment] = []
        self._told_ignored = False
        self._is_interrupted = False

    def _check(self, attachments: Sequence[Attachment]) -> None:
        if attachments:
            from ..models.accepting import check_attachments

            check_attachments(attachments, self._resolved.model)

    def turn(self, text: str) -> None:
        """Answer one prompt. An error is shown, Ctrl-C ends the answer; the chat goes on."""
        try:
            self._answer(text)
        except Stopped:
            raise
        except (KeyboardInterrupt, EOFError):
            # Ctrl-D at a question is the end of the answer too.
            self._is_interrupted = True
            write_err("\n")
        except OutputClosed:
            raise
        except Exception as error:  # whatever a model plugin raises
            self._console.report(error)

    def _answer(self, text: str) -> None:
        turn = self._turn_input(text)
        if turn is None:
            return
        self._is_interrupted = False
        count = len(self._recorder.begun)
        try:
            responses = ask(self._resolved, self._recorder, turn)
        finally:
            begun = self._recorder.begun[count:]
            if any(response.has_ended and not response.said_nothing() for response in begun):
                self._content, self._attached = self._content.lasting(), []
        cite(self._resolved.request, responses)
        self._told_ignored = self._told_ignored or note_ignored_history(responses[0])
        mismatch = follow_up(self._resolved, self._recorder, responses)
        if mismatch is not None:
            self._console.report(mismatch)

    def _turn_input(self, typed: str) -> TurnInput | None:
        """What goes into the next turn; `None` where the user has only attached something."""
        prompt, names, files = read_instructions(typed, self._instructions)
        fragments, attachments = find_fragments(self._resolved.request.log, names)
        attached = [attachment_from(value) for value in files]
        # One that is refused must not be in the way of the prompts that follow.
        self._check(attached)
        self._attached += attached
        if files and not (prompt or fragments):
            return None
        text, system = self._resolved.material.fill(prompt or None)
        content = self._content
        return content._replace(
            text=text or "",
            system=system,
            fragments=[*content.fragments, *fragments],
            attachments=[*content.attachments, *self._attached, *attachments],
            drops_pending=self._is_interrupted,
        )


def read_instructions(typed: str, words: Texts) -> tuple[str, list[str], list[str]]:
    """The prompt without the lines `!fragment A B` and `!attach A B`, and what those name."""
    lines: list[str] = []
    named: dict[str, list[str]] = {word: [] for word in INSTRUCTIONS}
    for line in typed.split("\n"):
        word, _, rest = line.strip().partition(" ")
        if word in words and rest.strip():
            named[word] += _words(rest)
        else:
            lines.append(line)
    return "\n".join(lines), named["!fragment"], named["!attach"]


def _words(text: str) -> list[str]:
    import shlex

    try:
        return shlex.split(text, posix=os.name != "nt")
    except ValueError:
        return text.split()


def read_prompts(
    read_line: LineReader, edit: Callable[[], str | None], instructions: Texts = INSTRUCTIONS
) -> Iterator[str]:
    """The prompts that a user enters, until they leave; see `Console` and `run_chat`.

    A line that can only be meant for the chat is answered here.
    """
    while True:
        try:
            line = read_line(PROMPT)
            if line.strip() in ("exit", "quit"):
                return
            text = _text_of(line, read_line, edit, instructions)
        except Stopped:
            raise
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if text and text.strip():
            yield text


def _text_of(
    line: str, read_line: LineReader, edit: Callable[[], str | None], instructions: Texts
) -> str | None:
    """The prompt that a line is, or leads to."""
    word, _, rest = line.strip().partition(" ")
    if word == "!multi":
        return _read_block(read_line, f"!end {rest.strip()}".strip())
    if word == "!edit" and not rest:
        return _edited(edit)
    reply = reply_to(line, instructions)
    if reply is None:
        return line
    say(reply, err=word != "!help")
    return None


def _edited(edit: Callable[[], str | None]) -> str | None:
    """What was written in the editor; nothing where Ctrl-C ended it."""
    try:
        return edit()
    except Stopped:
        raise
    except KeyboardInterrupt:
        write_err("\n")
        return None


def reply_to(line: str, instructions: Texts = INSTRUCTIONS) -> str | None:
    """What the chat itself says to a line; `None` where it is a prompt, or a command to carry out.

    Args:
        instructions: As for `run_chat`.
    """
    word, _, rest = line.strip().partition(" ")
    if word == "!help":
        return "\n".join(_start_lines(instructions))
    if word in instructions:
        return None if rest.strip() else _NEEDED[word]
    if word == "!end" and not rest:
        return "!end ends the lines that !multi has begun"
    if word in _COMMANDS:
        return None
    return _reply_to_slip(word, rest, (*_COMMANDS, *instructions))


def _reply_to_slip(word: str, rest: str, commands: Sequence[str]) -> str | None:
    """What the chat says to a word that was meant to be a command, if it was."""
    folded = word.casefold()
    if folded in _LEAVING and not rest:
        return "To leave the chat, type 'exit' or 'quit'"
    meant = f"!{folded[1:]}" if word[:1] == "/" else ""
    if meant in commands and (not rest or meant in INSTRUCTIONS):
        return f"The commands of the chat begin with an exclamation mark: {meant}"
    if nearest := _nearest(folded, commands):
        return (
            f"There is no command {word} - did you mean {nearest}? "
            "To send such a line, put it between !multi and !end"
        )
    return None


def _nearest(word: str, commands: Sequence[str]) -> str | None:
    """The command that a word with an exclamation mark was meant to be."""
    if not word.startswith("!") or len(word) > _MAX_LENGTH:
        return None
    slips, nearest = min((edit_distance(word, command), command) for command in commands)
    return nearest if slips <= _MAX_SLIPS else None


def _read_block(read_line: LineReader, end_line: str) -> str:
    """The lines up to the last one, or up to the end of input; Ctrl-C takes them back."""
    lines: list[str] = []
    try:
        while (line := read_line("")).strip() != end_line:
            lines.append(line)
    except Stopped:
        raise
    except KeyboardInterrupt:
        print()
        return ""
    except EOFError:
        if not "".join(lines).strip():
            raise
        print()
    return "\n".join(lines)
