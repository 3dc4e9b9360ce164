"""Keys in use are never shown, and go to nobody but the service that they belong to."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from llm.cli import cli
from llm.files.config import get_key
from llm.net.http_log import ShownBody
from llm.prompting.inputs import key_argument
from llm.text import secrets

from .helpers.openai_server import OpenAIServer, Reply, error_reply, text_stream
from .helpers.terminal import LIMIT_SECONDS, RUN_LLM

KEY = "sk-proj-0123456789/+abc"


@pytest.fixture
def server(user_path: Path) -> Iterator[OpenAIServer]:
    """A loopback server: the model `mine` needs the key `vault`, the model `open` needs none."""
    with OpenAIServer() as running:
        entries = [
            {"model_id": "mine", "api_base": running.url, "api_key_name": "vault"},
            {"model_id": "open", "api_base": running.url},
            {"model_id": "unstored", "api_base": running.url, "api_key_name": "absent"},
            {"model_id": "items", "api_base": running.url, "responses": True},
            {"model_id": "sees", "api_base": running.url, "vision": True},
        ]
        (user_path / "extra-openai-models.yaml").write_text(json.dumps(entries))
        (user_path / "keys.json").write_text(json.dumps({"vault": KEY, "openai": "sk-of-openai"}))
        yield running


def run(*args: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, on pipes."""
    return subprocess.run(
        [*RUN_LLM, *args],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        env={**os.environ, **env},
    )


def stored_text(user_path: Path) -> str:
    """Everything that is in the files of the user directory, as far as it is no key file."""
    found = ""
    for path in user_path.rglob("*"):
        if path.is_file() and path.name not in ("keys.json", "extra-openai-models.yaml"):
            found += path.read_bytes().decode("utf-8", "replace")
    with sqlite3.connect(user_path / "logs.db") as db:
        found += "\n".join(db.iterdump())
    return found


def test_masked_covers_the_forms_a_key_appears_in() -> None:
    """As it is, in JSON, and in an address; other text stays."""
    key = 'top"secret/key+1'
    secrets.remember(f"  {key}\n")
    for text in (key, json.dumps(key)[1:-1], "top%22secret%2Fkey%2B1", "top%22secret/key%2B1"):
        assert secrets.masked(f"a {text} b") == "a [...] b"
    assert secrets.masked("top secret") == "top secret"


# A key with characters that are escaped somewhere, one with most of them, one with none.
KEYS = (KEY, "p&ss<w>rd'\"+/=%\\{}", "AbCdEf0123456789AbCdEf")
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;", "/": "&#x2F;"}


def _base64(before: bytes, after: bytes, *, urlsafe: bool = False) -> Callable[[str], str]:
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    return lambda key: encode(before + key.encode() + after).decode()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": lambda key: json.dumps(key)[1:-1],
    "JSON of PHP": lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
    "JSON of Go": lambda key: (
        json.dumps(key)[1:-1]
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
    ),
    "JSON in JSON": lambda key: json.dumps(json.dumps(key))[3:-3],
    "address": lambda key: quote(key, safe=""),
    "address in small letters": lambda key: re.sub(
        "%..", lambda found: found[0].lower(), quote(key, safe="")
    ),
    "address, all of it": lambda key: "".join(f"%{ord(character):02x}" for character in key),
    "address in an address": lambda key: quote(quote(key, safe=""), safe=""),
    "address in an address, all of it": lambda key: "".join(f"%25{ord(one):02X}" for one in key),
    "JSON, all of it": lambda key: "".join(f"\\u{ord(one):04x}" for one in key),
    "form": quote_plus,
    "HTML of Python": html.escape,
    "HTML of others": lambda key: "".join(ENTITIES.get(character, character) for character in key),
    "HTML with names": lambda key: (
        html.escape(key).replace("/", "&sol;").replace("+", "&plus;").replace("=", "&equals;")
    ),
    "HTML, all of it": lambda key: "".join(f"&#{ord(character)};" for character in key),
    "HTML, all of it in hex": lambda key: "".join(f"&#x{ord(character):02X};" for character in key),
    "HTML in HTML": lambda key: html.escape(html.escape(key)),
    "HTML in HTML, all of it": lambda key: "".join(f"&amp;#{ord(one)};" for one in key),
}
BASE64 = {
    "base64": _base64(b"", b""),
    "base64 of credentials": _base64(b"user:", b""),
    "base64 of a header": _base64(b"Bearer ", b"\n"),
    "base64 within others": _base64(b"abcdef", b"ghi"),
    "base64 for addresses": _base64(b"user:", b"!", urlsafe=True),
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_key_is_masked_in_every_encoding(key: str, encoding: str) -> None:
    """However a server writes back the key that it was sent, it is not shown."""
    secrets.remember(key)
    written = ENCODINGS[encoding](key)
    assert secrets.masked(f"no key {written}, you see") == "no key [...], you see"
    assert secrets.masked("sk-proj and p&ss &amp; more %2F \\/") == (
        "sk-proj and p&ss &amp; more %2F \\/"
    )


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("encoding", BASE64)
def test_key_is_masked_in_base64(key: str, encoding: str) -> None:
    """Wherever it begins in what was encoded, not more than a character of it is left."""
    secrets.remember(key)
    written = BASE64[encoding](key)
    shown = secrets.masked(f"no key {written}, you see")
    assert "[...]" in shown
    left = shown.removeprefix("no key ").removesuffix(", you see").split("[...]")
    assert len("".join(left)) <= len(written) - len(key) * 4 // 3 + 4


@given(st.text(min_size=6, max_size=40), st.sampled_from(sorted(ENCODINGS)), st.text())
def test_masking_never_fails(key: str, encoding: str, text: str) -> None:
    """Any key and any text will do."""
    try:
        secrets.remember(key)
        if "\ud800" not in key and key.isascii() and key.isprintable() and key == key.strip():
            written = ENCODINGS[encoding](key)
            assert secrets.masked(f"| {written} |") == "| [...] |"
        secrets.masked(text)
        secrets.unfinished(text)
    finally:
        for known in (secrets._forms, secrets._escaped, secrets._beginnings):
            known.clear()


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("https://user:s3cret-pass@host/v1", "s3cret-pass"),
        ("https://s3cret-key@host/v1", "s3cret-key"),
        ("https://s3cret-key:@host/v1", "s3cret-key"),
        ("https://s3cret-key:x@host/v1", "s3cret-key"),
        ("https://user:a%2Fb%40cdef@host/v1", "a/b@cdef"),
        ("https://host/v1?key=s3cret-key", "s3cret-key"),
        ("https://host/v1?api-version=2024-02-01&api-key=s3cret-key", "s3cret-key"),
        ("https://host/v1?subscription-key=s3cret-key", "s3cret-key"),
        ("https://host/v1?access_token=s3cret%2Bkey", "s3cret+key"),
        ("https://host/v1?X-Amz-Signature=s3cretkey", "s3cretkey"),
        ("https://host/v1?code=s3cret-key", "s3cret-key"),
        ("https://host/v1?s3cret-key-alone-and-long", "s3cret-key-alone-and-long"),
    ],
)
def test_keys_in_addresses_are_secrets(url: str, secret: str) -> None:
    """User info, and parameters whose names say so, are masked, as written there and decoded."""
    secrets.remember_request(url, {})
    assert secrets.masked(f"got {secret}!") == "got [...]!"
    assert "s3cret" not in secrets.masked(url)


@pytest.mark.parametrize(
    "url",
    [
        *("https://host/v1", "https://host/v1?api-version=2024-02-01", "http://[::1"),
        *("https://alice:@host/", "https://host/?design=modern-times", "https://host/?q=@home"),
    ],
)
def test_ordinary_addresses_are_no_secrets(url: str) -> None:
    """What is no key stays readable."""
    secrets.remember_request(url, {})
    text = "v1 2024-02-01 modern-times @home host"
    assert secrets.masked(text) == text


def test_short_and_empty_keys_mask_nothing() -> None:
    """A key that is a part of ordinary words would make every text unreadable."""
    for value in (None, "", "  ", "abc", 5):
        secrets.remember(value)
    assert secrets.masked("abcdef None 5") == "abcdef None 5"


def test_longer_key_is_masked_whole_where_it_contains_a_shorter() -> None:
    """No tail of the longer key is left over."""
    secrets.remember("secret-key")
    secrets.remember("secret-key-longer")
    assert secrets.masked("secret-key-longer secret-key") == "[...] [...]"


@given(
    st.lists(st.sampled_from([KEY, KEY[:5], KEY[3:], "s", "sk-", "some text "]), max_size=6),
    st.data(),
)
def test_key_in_pieces_is_masked_as_in_one(words: list[str], data: st.DataObject) -> None:
    """However a text is cut, what its pieces show together is what the whole would show."""
    secrets.remember(KEY)
    text = "".join(words)
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    cut = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    pieces = secrets.WatchedText()
    shown: list[str] = []
    for piece in cut:
        former = len(shown) - pieces.open_count
        shown[former:] = pieces.add(piece)
    assert "".join(shown) == secrets.masked(text)
    assert len(shown) == len(cut)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 40])
def test_key_in_pieces_is_masked_in_every_encoding(key: str, encoding: str, size: int) -> None:
    """Wherever an escaped key is cut, nothing of it is left but a last semicolon."""
    secrets.remember(key)
    text = f"no key {ENCODINGS[encoding](key)}, you see"
    pieces, shown = secrets.WatchedText(), list[str]()
    for at in range(0, len(text), size):
        former = len(shown) - pieces.open_count
        shown[former:] = pieces.add(text[at : at + size])
    assert "".join(shown).replace("];", "]") == "no key [...], you see"
    assert pieces.open_count == 0


@pytest.mark.parametrize(
    "text",
    [
        *("\\" * 100_000 + "u0070", "Abc" + "\\" * 100_000, "&#" + "0" * 100_000 + "112;"),
        *("&" + "amp;" * 100_000 + "#112;", "%" + "25" * 100_000 + "70%26", "\\u0070" * 100_000),
    ],
)
def test_masking_takes_no_longer_than_the_text(text: str) -> None:
    """A text that a server has made for it does not take for ever; see the limit of the tests."""
    secrets.remember("p&ssAbc")
    secrets.masked(text)
    secrets.unfinished(text)


@given(
    st.lists(st.integers(1, len(KEY) - 1), max_size=4), st.lists(st.integers(0, 400), max_size=6)
)
def test_dump_shows_no_part_of_a_key(splits: list[int], reads: list[int]) -> None:
    """A key that comes in several events, which are read in any pieces, is masked; nothing else is
    missing, and no event."""
    secrets.remember(KEY)
    places = sorted(splits)
    parts = [KEY[a:b] for a, b in zip([0, *places], [*places, len(KEY)], strict=True)]
    texts = ["Your s", "ecret snow \u2603 is ", *parts, " yes", " and s"]
    events = [
        b"data: " + json.dumps({"c": [{"t": text}]}, ensure_ascii=False).encode() for text in texts
    ]
    raw = b"\n\n".join([*events, b"data: [DONE]", b""])
    places = sorted(min(read, len(raw)) for read in reads)
    body = ShownBody()
    shown = [body.feed(raw[a:b]) for a, b in zip([0, *places], [*places, len(raw)], strict=True)]
    lines = ("".join(shown) + body.end()).split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    found = [json.loads(line.removeprefix("data:"))["c"][0]["t"] for line in lines[:-2]]
    assert len(found) == len(texts)
    assert "".join(found) == "Your secret snow \u2603 is [...] yes and s"


def test_dump_shows_what_is_no_event_as_it_comes() -> None:
    """A body of another kind is not held back, but for the beginning of a key."""
    secrets.remember(KEY)
    body = ShownBody(("own-key",))
    assert body.feed(b'{"error": "bad own-key ') == '{"error": "bad [...] '
    assert body.feed(b"and " + KEY[:4].encode()) == "and "
    assert body.feed(KEY[4:].encode()) == "[...]"
    assert body.feed(b" \xe2\x98") == " "
    assert body.feed(b"\x83 sk-pro") == "\u2603 "
    assert body.end() == "sk-pro"


def test_resolved_keys_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever `get_key` gives is masked from then on, wherever it came from."""
    monkeypatch.setenv("SOME_KEY", "from-environment")
    get_key(None, None, "SOME_KEY")
    get_key("given-directly")
    assert secrets.masked("from-environment given-directly") == "[...] [...]"


@pytest.mark.parametrize("flags", [[], ["--async"], ["--no-stream"]])
def test_key_quoted_by_the_service_is_not_shown(
    server: OpenAIServer, user_path: Path, flags: list[str]
) -> None:
    """A 401 body that repeats the key reaches the user and the log without it."""
    server.add(error_reply(401, f"Incorrect API key provided: {KEY}"))
    result = run("-m", "mine", "hi", *flags)
    assert server.last.headers["authorization"] == f"Bearer {KEY}"
    assert result.returncode == 1
    assert "Incorrect API key provided: [...]" in result.stderr
    assert KEY not in result.stderr + result.stdout


def test_key_in_an_error_of_a_plugin_is_not_shown(user_path: Path) -> None:
    """An error text that holds the key, as addresses do, is masked; so is the traceback."""
    result = run("-m", "leaky", "hi", VAULT_KEY=KEY)
    assert result.stderr == "Error: GET https://api.example.com/?key=[...] failed\n"
    result = run("-m", "leaky", "hi", VAULT_KEY=KEY, LLM_RAISE_ERRORS="1")
    assert "Traceback (most recent call last)" in result.stderr
    assert "ValueError: GET https://api.example.com/?key=[...] failed" in result.stderr
    assert KEY not in result.stderr
    result = run("chat", "-m", "leaky", stdin="hi\n", VAULT_KEY=KEY)
    assert "key=[...] failed" in result.stderr
    result = run("-m", "leaky", "now", "--fallback", "echo", VAULT_KEY=KEY)
    assert "leaky failed: GET https://api.example.com/?key=[...] failed" in result.stderr
    assert KEY not in stored_text(user_path)


def test_key_in_prompt_and_answer_is_not_logged(user_path: Path) -> None:
    """The answer is printed as it is; the log has a mask, and the conversation goes on."""
    result = run("-m", "leaky", "answer", "-s", f"Mind {KEY}", VAULT_KEY=KEY)
    assert result.stdout == f"Your key is {KEY}, sir\n"
    assert KEY not in stored_text(user_path)
    row = json.loads(run("logs", "--json").stdout)[0]
    assert row["response"] == "Your key is [...], sir"
    again = run("-c", "-m", "echo", "next")
    assert again.returncode == 0
    assert "assistant: Your key is [...], sir | user: next" in again.stdout


def test_key_in_debug_output_is_not_shown(server: OpenAIServer) -> None:
    """The dump of requests and replies has neither the header nor the body's copy of it."""
    server.add(text_stream("Your key: ", KEY, " or ", KEY[:9], KEY[9:], "."))
    result = run("-m", "mine", f"what about {KEY}", LLM_OPENAI_SHOW_RESPONSES="1")
    assert "Request: POST" in result.stderr
    assert "data: [DONE]" in result.stderr
    assert not any(part in result.stderr for part in (KEY, KEY[:9], KEY[9:]))
    server.add(error_reply(401, f"Not {KEY}"))
    result = run("-m", "mine", "hi", LLM_OPENAI_SHOW_RESPONSES="1")
    assert '{"error": {"message": "Not [...]"}}' in result.stderr


def test_key_in_a_header_or_an_address_is_not_shown(server: OpenAIServer, user_path: Path) -> None:
    """What an entry of extra-openai-models.yaml sends by itself is a key in use, too."""
    key, password = "sk-in-a-header-1", "pass-word-1"
    address = server.url.replace("//", f"//somebody:{password}@")
    entry = {"model_id": "own", "api_base": address, "headers": {"X-Api-Key": f"Token {key}"}}
    (user_path / "extra-openai-models.yaml").write_text(json.dumps([entry]))
    server.add(*[error_reply(401, f"No: {key} {password}") for _ in range(2)])
    for env in ({}, {"LLM_OPENAI_SHOW_RESPONSES": "1"}):
        result = run("-m", "own", "hi", **env)
        assert server.last.headers["x-api-key"] == f"Token {key}"
        assert "No: [...] [...]" in result.stderr
        assert key not in result.stderr + stored_text(user_path)
        assert password not in result.stderr + stored_text(user_path)


def test_key_that_a_server_writes_back_is_not_shown(server: OpenAIServer, user_path: Path) -> None:
    """In whatever form it comes back, in an error or an answer, it is neither told nor logged."""
    written = [encode(KEY) for encode in (*ENCODINGS.values(), *BASE64.values())]
    server.add(error_reply(401, " | ".join(written)), text_stream(" | ".join(written)))
    refused = run("-m", "mine", "hi", "--retries", "0")
    assert refused.returncode == 1
    assert refused.stderr.count("[...]") == len(written)
    run("-m", "mine", "hi")
    found = refused.stderr + stored_text(user_path)
    assert not any(text in found for text in written)


@pytest.mark.parametrize(
    "form", ["{base}?api-key={key}", "{base}?key={key}&v=1", "{user}", "{base}?{key}"]
)
def test_key_in_an_api_base_is_not_shown(server: OpenAIServer, user_path: Path, form: str) -> None:
    """Errors, dumps, the log and the files beside it do without it; other texts of it stay."""
    key = "query-key-0123456789"
    user = server.url.replace("//", f"//{key}@")
    address = form.format(base=server.url, key=key, user=user)
    entry = {"model_id": "own", "api_base": address}
    (user_path / "extra-openai-models.yaml").write_text(json.dumps([entry]))
    found = ""
    for url in (server.url, "http://127.0.0.1:9/v1"):
        (user_path / "extra-openai-models.yaml").write_text(
            json.dumps([{**entry, "api_base": address.replace(server.url, url)}])
        )
        server.add(error_reply(401, f"No: {key}"))
        for env in ({}, {"LLM_OPENAI_SHOW_RESPONSES": "1"}):
            result = run("-m", "own", "hi", "--retries", "0", **env)
            assert result.returncode == 1
            found += result.stderr + result.stdout
    run("-m", "echo", "log this")
    assert key not in found + stored_text(user_path)


def test_key_in_the_address_of_a_fragment_or_template_is_not_shown(
    server: OpenAIServer, user_path: Path
) -> None:
    """Neither where it cannot be fetched, nor in the log, nor among what is trusted."""
    address = f"{server.url}/x?token=s3cret-of-url&v=1"
    server.add(Reply(pieces=[b"notes"], content_type="text/plain"))
    assert run("-m", "echo", "-f", address, "hi").returncode == 0
    server.add(*[Reply(status=404) for _ in range(2)])
    failed = [run("-m", "echo", option, address, "hi") for option in ("-f", "-t")]
    assert [result.returncode for result in failed] == [1, 1]
    server.add(*[Reply(pieces=[b"prompt: hi\ntools: [llm_version]\n"]) for _ in range(3)])
    failed.append(run("-m", "scripted", "-t", address))
    assert run("-m", "scripted", "-t", address, "--trust").returncode == 0
    failed.append(run("templates", "show", address))
    failed.append(run("logs", "--json"))
    text = "".join(result.stdout + result.stderr for result in failed)
    assert "s3cret-of-url" not in text + stored_text(user_path)
    assert "token=[...]&v=1" in text


def test_key_in_the_address_of_an_attachment_is_not_shown(
    server: OpenAIServer, user_path: Path, tmp_path: Path
) -> None:
    """The service gets the whole address, the log none of the key, and a conversation that goes on
    says that it is not there any more."""
    secret, password = "s3cret-of-url", "passw0rd-of-url"
    address = server.url.replace("//", f"//me:{password}@") + f"/x.png?token={secret}&v=1"
    server.add(Reply(status=302, headers={"location": f"/y?sig={secret}"}), Reply(status=404))
    results = [run("-m", "sees", "-a", address, "hi")]
    server.add(text_stream("seen"), text_stream("not seen"))
    results.append(run("-m", "sees", "--at", address, "image/png", "hi"))
    assert address in json.dumps(server.last.body)
    results.append(run("-c", "and now?"))
    results.append(run("logs", "--json"))
    assert [result.returncode for result in results] == [2, 0, 0, 0]
    assert "?sig=[...]" in results[0].stderr
    assert "token=[...]&v=1 is not kept" in results[2].stderr
    assert "cannot be shown any more" in json.dumps(server.last.body)
    text = "".join(result.stdout + result.stderr for result in results)
    text += stored_text(user_path) + json.dumps(server.last.body)
    assert (secret in text, password in text) == (False, False)


def test_key_split_between_chunks_does_not_stay_in_the_journal(
    server: OpenAIServer, user_path: Path
) -> None:
    """A process that is killed right after the key has come leaves a journal without it."""
    held = threading.Event()
    reply = text_stream("Your key: ", "s", KEY[1:9], KEY[9:], ", keep it.")
    reply.pieces.insert(-2, held)
    server.add(reply)
    with subprocess.Popen([*RUN_LLM, "-m", "mine", "hi"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(len(f"Your key: {KEY}, keep it."))
        process.kill()
    held.set()
    [journal] = (user_path / "inflight").iterdir()
    assert not any(part in journal.read_text() for part in (KEY, KEY[1:9], KEY[9:]))
    [row] = json.loads(run("logs", "--json").stdout)
    assert (row["response"], row["status"]) == ("Your key: [...], keep it.", "interrupted")


@pytest.mark.parametrize(
    "args", [["-m", f"not-{KEY}", "hi"], ["-m", "echo", "-a", f"/no/{KEY}"], ["-f", f"no-{KEY}"]]
)
def test_given_key_is_masked_before_it_is_used(args: list[str]) -> None:
    """An error that comes before any model is called does not show the text of `--key`."""
    for line in (["--key", KEY, *args], [*args, "--key", KEY]):
        result = run(*line)
        assert result.returncode in (1, 2)
        assert "[...]" in result.stderr
        assert KEY not in result.stderr


def test_name_of_a_stored_key_is_no_secret(user_path: Path) -> None:
    """What `--key` names is shown as usual."""
    (user_path / "keys.json").write_text(json.dumps({"vaulted": KEY}))
    assert "Unknown model: vaulted" in run("-m", "vaulted", "--key", "vaulted", "hi").stderr


# Where keys come from


def test_key_from_standard_input_leaves_the_rest_to_the_prompt(server: OpenAIServer) -> None:
    """`--key -` takes the first line; what follows is the prompt."""
    server.add(text_stream("ok"), text_stream("ok"))
    result = run("-m", "mine", "--key", "-", "and this", stdin="sk-from-stdin\nthe text")
    assert (result.returncode, result.stdout) == (0, "ok\n")
    assert server.last.headers["authorization"] == "Bearer sk-from-stdin"
    assert server.last.body["messages"][-1]["content"] == "the text and this"
    run("-m", "mine", "--at", "-", "text/plain", "--key", "-", stdin="sk-from-stdin\nthe text")
    assert "sk-from-stdin" not in json.dumps(server.last.body)


def test_key_from_a_file(server: OpenAIServer, tmp_path: Path) -> None:
    """`--key @file` takes the content of a file, without white space around it."""
    path = tmp_path / "key"
    path.write_text("sk-from-file\n")
    server.add(text_stream("ok"))
    assert run("-m", "mine", "--key", f"@{path}", "hi").returncode == 0
    assert server.last.headers["authorization"] == "Bearer sk-from-file"


@pytest.mark.parametrize("value", ["-", "@/nowhere/key"])
def test_missing_key_source_is_a_usage_error(value: str) -> None:
    """An empty standard input or a missing file is told before anything is sent."""
    result = run("-m", "keyed", "--key", value, "hi")
    assert result.returncode == 2
    assert "Invalid value for '--key'" in result.stderr


def test_plain_keys_and_names_stay_as_they_are() -> None:
    """Everything else is a key or the name of a stored one, as before."""
    assert key_argument(None) is None
    assert key_argument("vault") == "vault"


@pytest.mark.parametrize(
    "slip", ["opnai", "openaii", "oepnai", "opena1", "penai", "OPENAI", "Opnai", "my-vualt"]
)
def test_slip_in_the_name_of_a_key_is_an_error(
    server: OpenAIServer, user_path: Path, slip: str
) -> None:
    """What is almost the name of a stored key is not sent to anybody."""
    names = {"openai": "sk-of-openai", "my-vault": KEY}
    (user_path / "keys.json").write_text(json.dumps(names))
    result = run("-m", "mine", "--key", slip, "hi")
    assert (result.returncode, server.requests) == (2, [])
    meant = "my-vault" if slip.startswith("my") else "openai"
    assert f"{slip!r} is no stored key, but almost the name of one: {meant}." in result.stderr


@pytest.mark.parametrize(
    "key", ["x", "none", "ollama", "opnai2", "sk-0123456789012345678", "openai", "open"]
)
def test_what_is_no_slip_is_sent(server: OpenAIServer, user_path: Path, key: str) -> None:
    """Stand-ins, longer texts and stored names go as they are; a file goes whatever it holds."""
    names = {"openai": "sk-of-openai", "y": "1", "nona": "2", "olama": "3"}
    names["sk-012345678901234567"] = "4"
    (user_path / "keys.json").write_text(json.dumps(names))
    server.add(text_stream("ok"))
    assert run("-m", "mine", "--key", key, "hi").returncode == 0
    assert server.last.headers["authorization"] == f"Bearer {names.get(key, key)}"


def test_stand_in_for_a_key_is_no_secret(server: OpenAIServer) -> None:
    """The name of a program stays readable in the log, where it is given for a key."""
    server.add(text_stream("ollama runs models"))
    assert run("-m", "mine", "--key", "ollama", "what is ollama?").returncode == 0
    [row] = json.loads(run("logs", "--json").stdout)
    assert (row["prompt"], row["response"]) == ("what is ollama?", "ollama runs models")


def test_slip_goes_as_it_is_from_a_file(
    server: OpenAIServer, user_path: Path, tmp_path: Path
) -> None:
    """Whoever writes a key to a file means a key."""
    (tmp_path / "key").write_text("opnai")
    server.add(text_stream("ok"))
    assert run("-m", "mine", "--key", f"@{tmp_path / 'key'}", "hi").returncode == 0
    assert server.last.headers["authorization"] == "Bearer opnai"


def test_keys_remove_takes_out_one_key(user_path: Path) -> None:
    """The others stay, the file stays private; an unknown name is an error with a suggestion."""
    (user_path / "keys.json").write_text(json.dumps({"one": "1", "other": "2"}))
    runner = CliRunner()
    assert runner.invoke(cli, ["keys", "remove", "one"]).exit_code == 0
    assert json.loads((user_path / "keys.json").read_text()) == {"other": "2"}
    assert (user_path / "keys.json").stat().st_mode & 0o777 == 0o600
    result = runner.invoke(cli, ["keys", "remove", "othr"])
    assert result.exit_code == 1
    assert "did you mean 'other'?" in result.stderr


# Where keys go


@pytest.mark.parametrize("model", ["open", "unstored", "items"])
@pytest.mark.parametrize("options", [[], ["-o", "chat_completions", "1"]])
def test_key_of_openai_goes_to_no_other_host(
    server: OpenAIServer, model: str, options: list[str]
) -> None:
    """Neither the stored nor the environment's key of OpenAI is sent to an `api_base`."""
    if options and model != "items":
        options = []
    server.add(*[Reply(status=418) for _ in range(3)])
    result = run("-m", model, "hi", *options, "--retries", "0", OPENAI_API_KEY="sk-environment")
    assert result.returncode == 1
    sent = [request.headers.get("authorization", "") for request in server.requests]
    assert "sk-of-openai" not in str(sent)
    assert "sk-environment" not in str(sent)
    if model == "unstored":
        assert "llm keys set absent" in result.stderr
        assert sent == []


def test_key_does_not_follow_a_redirect(server: OpenAIServer) -> None:
    """A service that redirects elsewhere is told about; the other host never sees the key."""
    with OpenAIServer() as other:
        server.add(Reply(status=307, headers={"Location": f"{other.url}/chat/completions"}))
        result = run("-m", "mine", "hi")
        assert result.returncode == 1
        assert other.requests == []
