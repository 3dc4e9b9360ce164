"""Plugins with loaders, unchanged from the package index: what they fetch goes into a prompt."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ...helpers.openai_server import OpenAIServer, text_stream
from ...helpers.plugin_environment import PluginEnvironment
from ...helpers.recorded_web import RecordedWeb, recorded_web

PLUGINS = (
    "llm-templates-github",
    "llm-templates-fabric",
    "llm-fragments-github",
    "llm-hacker-news",
    "llm-docs",
    "llm-fragments-reader",
    "llm-video-frames",
    "llm-fragments-pypi",
)

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def installed(everything: PluginEnvironment) -> PluginEnvironment:
    """The environment with these plugins."""
    return everything.only(*PLUGINS)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[RecordedWeb]:
    """The sites that the plugins fetch from, with the repository `example/pelican`."""
    with recorded_web(tmp_path) as web:
        yield web


@pytest.fixture
def llm(installed: PluginEnvironment, web: RecordedWeb, tmp_path: Path) -> Run:
    """Runs the command with the plugins, in front of those sites."""

    def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
        done = installed.llm(*args, env={**web.variables(), **env}, cwd=tmp_path)
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def server(user_path: Path) -> Iterator[OpenAIServer]:
    """A service with a model that takes images and tools, and answers what the test has written."""
    with OpenAIServer() as server:
        entry = {"model_id": "served", "model_name": "m", "api_base": server.url}
        (user_path / "extra-openai-models.yaml").write_text(
            json.dumps([entry | {"vision": True, "supports_tools": True}])
        )
        (user_path / "default_model.txt").write_text("served")
        yield server


def shown(done: subprocess.CompletedProcess[str]) -> str:
    """What a command printed that ended well."""
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def failed(done: subprocess.CompletedProcess[str]) -> str:
    """What a command that failed said, in the way of an error."""
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    return done.stderr


def test_plugins_are_listed_with_their_hooks(llm: Run) -> None:
    """`llm plugins` names all eight; each registers loaders of one kind."""
    listed = {plugin["name"]: plugin["hooks"] for plugin in json.loads(shown(llm("plugins")))}
    assert listed == {
        name: [f"register_{'template' if '-templates-' in name else 'fragment'}_loaders"]
        for name in PLUGINS
    }


def test_fragment_loaders_are_listed(llm: Run) -> None:
    """Every prefix with what its loader says, those of the plugins before ours."""
    listing = shown(llm("fragments", "loaders"))
    prefixes = [line[:-1] for line in listing.splitlines() if line.endswith(":") and line[0] != " "]
    theirs = {"github", "issue", "pr", "hn", "docs", "docs-preview", "reader", "video-frames"}
    assert set(prefixes[:-3]) == theirs | {"pypi"}
    assert prefixes[-3:] == ["dir", "cmd", "similar"]
    assert "\nhn:\n  Given a Hacker News article ID returns the full nested conv" in listing
    assert "pypi:\n  Undocumented\n" in listing


def test_template_loaders_are_listed(llm: Run) -> None:
    """Both prefixes with what their loaders say."""
    listing = shown(llm("templates", "loaders"))
    assert listing.startswith(
        ("gh:\n  Load a template from GitHub\n", "fabric:\n  Load a template")
    )
    assert "gh:\n  Load a template from GitHub\n\n  Format: username/repo/template" in listing
    assert "fabric:\n  Load a template from the Fabric repository patterns folder\n" in listing


ISSUE = """\
# Wings are missing

*Posted by @ada*

See\x20
```py
    wings = 2
    return wings
```

---

### Comment by @bob

Two of them?

---

### Comment by @ada

Two.

---
"""
THREAD = "[1] ada: Pelicans on bicycles\n\n[1.1] bob: \nThey ride & fly\n\n[1.1.1] eve: Really?"
DOCS = "https://raw.githubusercontent.com/simonw/docs-for-llms/refs/heads/main"
PACKAGE = (
    '{\n  "author": "Ada",\n  "name": "pelican",\n  "summary": "A bird",\n  "version": "2.1"\n}'
)


@pytest.mark.parametrize(
    ("name", "texts", "source"),
    [
        ("hn:100", [THREAD], "https://news.ycombinator.com/item?id=100"),
        ("issue:example/pelican/7", [ISSUE], "https://github.com/example/pelican/issues/7"),
        ("docs:", ["Documentation of llm 0.50.0\n"], f"{DOCS}/llm/0.50.0.txt"),
        ("docs:pelican", ["Documentation of pelican 2.0\n"], f"{DOCS}/pelican/2.0.txt"),
        ("docs-preview:pelican", ["Documentation of pelican 2.1a0\n"], f"{DOCS}/pelican/2.1a0.txt"),
        (
            "reader:https://example.com/page",
            ["Title: Pelicans\n\nMarkdown Content:\nPelicans are birds.\n"],
            "https://r.jina.ai/https://example.com/page",
        ),
        (
            "pypi:pelican",
            [PACKAGE, "# pelican\n\nIt flies.", "Apache-2.0"],
            "pypi:pelican/info",
        ),
        (
            "pypi:pelican@2.0",
            [PACKAGE.replace("2.1", "2.0"), "# pelican\n\nIt flies.", "Apache-2.0"],
            "pypi:pelican@2.0/info",
        ),
    ],
)
def test_fragment_of_a_plugin_is_sent_and_stored(
    llm: Run, server: OpenAIServer, user_path: Path, name: str, texts: list[str], source: str
) -> None:
    """`-f` sends what the loader gives before the prompt, and keeps it with its source."""
    server.add(text_stream("read"))
    assert shown(llm("-f", name, "What is it?")) == "read\n"
    sent = server.last.body["messages"]
    assert sent == [{"role": "user", "content": "\n".join([*texts, "What is it?"])}]
    with contextlib.closing(sqlite3.connect(user_path / "logs.db")) as db:
        stored = db.execute("select content, source from fragments order by id").fetchall()
    assert [content for content, _ in stored] == texts
    assert stored[0][1] == source


def test_fragment_of_a_plugin_is_shown_and_named(llm: Run) -> None:
    """`llm fragments show` prints what the loader gives, `set` keeps it under an alias."""
    assert shown(llm("fragments", "show", "hn:100")) == f"{THREAD}\n"
    assert shown(llm("fragments", "set", "birds", "hn:100")) == ""
    assert shown(llm("fragments", "show", "birds")) == f"{THREAD}\n"


def test_pull_request_comes_with_its_changes(llm: Run, server: OpenAIServer) -> None:
    """A loader may give several texts; as system fragments they go into the system prompt."""
    server.add(text_stream("read"))
    assert shown(llm("--sf", "pr:example/pelican/8", "Fine?")) == "read\n"
    system, user = server.last.body["messages"]
    assert system["content"].startswith("# Add wings\n\n*Posted by @bob*\n\nBoth of them\n\ndiff")
    assert system["content"].endswith("+    wings = 2")
    assert user == {"role": "user", "content": "Fine?"}


def git(folder: Path, *args: str) -> None:
    """Run git in a folder."""
    person = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    subprocess.run(["git", "-C", str(folder), *person, *args], check=True, capture_output=True)


def test_repository_is_cloned_and_its_texts_sent(
    llm: Run, web: RecordedWeb, server: OpenAIServer
) -> None:
    """`github:` has a real git fetch the repository; files that are no text are left out."""
    repository = web.repositories / "example" / "pelican.git"
    repository.mkdir(parents=True)
    git(repository, "init", "-q")
    (repository / "fly.py").write_text("def fly(): ...\n")
    (repository / "photo.bin").write_bytes(b"\xff\xfe")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "Fly")
    server.add(text_stream("read"))
    assert shown(llm("-f", "github:example/pelican", "Explain")) == "read\n"
    (message,) = server.last.body["messages"]
    assert message["content"] == "def fly(): ...\n\nExplain"
    assert "https://github.com/example/pelican.git/git-upload-pack" in web.seen


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("hn:5", "Could not load Hacker News 5: Client error '404 Not Found'"),
        ("issue:example/pelican/5", "GitHub API request failed [404] for https://api.github"),
        ("issue:pelican", "Fragment must be issue:owner/repo/NUMBER"),
        (
            "github:example/nosuch",
            "Failed to clone repository https://github.com/example/nosuch.git",
        ),
        ("docs:nosuch", "Package nosuch not found in index"),
        ("reader:https://example.com/x", "Failed to load fragment from https://r.jina.ai/https://"),
        ("pypi:nosuch", "Client error '404 Not Found'"),
        ("video-frames:nosuch.mp4", "Video file not found: nosuch.mp4"),
    ],
)
def test_fragment_that_a_plugin_cannot_load_is_told(llm: Run, name: str, reason: str) -> None:
    """What the loader says reaches stderr, with the name that was asked for; nothing is sent."""
    assert failed(llm("-f", name, "x")).startswith(
        f"Error: Could not load fragment {name}: {reason}"
    )


@pytest.fixture
def film(installed: PluginEnvironment, tmp_path: Path) -> tuple[Path, str]:
    """A film of three seconds, and a PATH on which `ffmpeg` is."""
    asked = "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"
    program = installed.run("-c", asked).stdout.strip()
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "ffmpeg").symlink_to(program)
    made = tmp_path / "film.mp4"
    shape = "testsrc=duration=3:size=64x48:rate=10"
    subprocess.run([program, "-v", "error", "-f", "lavfi", "-i", shape, str(made)], check=True)
    return made, str(folder)


def test_frames_of_a_film_are_attached(
    llm: Run, server: OpenAIServer, film: tuple[Path, str]
) -> None:
    """`video-frames:` gives attachments: as many pictures as asked for, each kept in the log."""
    path, folder = film
    server.add(text_stream("seen"))
    assert shown(llm("-f", f"video-frames:{path}?fps=2", "Describe", PATH=folder)) == "seen\n"
    (message,) = server.last.body["messages"]
    text, *pictures = message["content"]
    assert text == {"type": "text", "text": "Describe"}
    assert len(pictures) == 6
    assert all(
        picture["image_url"]["url"].startswith("data:image/jpeg;base64,") for picture in pictures
    )
    (row,) = json.loads(shown(llm("logs", "--json")))
    assert [attachment["type"] for attachment in row["attachments"]] == ["image/jpeg"] * 6


def test_frames_are_refused_where_only_text_is_taken(llm: Run, film: tuple[Path, str]) -> None:
    """Attachments of a loader are no system fragments and cannot be shown."""
    path, folder = film
    for args in (
        ["fragments", "show", f"video-frames:{path}"],
        ["--sf", f"video-frames:{path}", "x"],
    ):
        assert "returned a disallowed attachment" in failed(llm(*args, PATH=folder))


@pytest.mark.parametrize(
    ("name", "system", "user"),
    [
        ("gh:example/shout", "Answer in capital letters", "Say this aloud: fly"),
        ("gh:example/llm-templates/shout", "Answer in capital letters", "Say this aloud: fly"),
        ("gh:example/prompts/plain", None, "Only one line about fly"),
        ("fabric:shorten", "# IDENTITY\n\nYou make texts shorter.", "fly"),
        ("fabric:compare", "You compare two things.", "Compare: fly\n"),
    ],
)
def test_template_of_a_plugin_is_used(
    llm: Run, server: OpenAIServer, name: str, system: str | None, user: str
) -> None:
    """`-t` fills in and sends what the loader fetched."""
    server.add(text_stream("done"))
    assert shown(llm("-t", name, "fly")) == "done\n"
    said = {message["role"]: message["content"] for message in server.last.body["messages"]}
    assert said == ({"system": system} if system else {}) | {"user": user}


def test_template_of_a_plugin_is_shown(llm: Run) -> None:
    """`llm templates show` takes the name of a loader too."""
    assert shown(llm("templates", "show", "gh:example/shout")) == (
        "name: example/shout\nprompt: 'Say this aloud: $input'\n"
        "system: Answer in capital letters\n\n"
    )


def test_template_of_a_plugin_needs_trust_for_files_and_tools(
    llm: Run, server: OpenAIServer
) -> None:
    """Off a terminal it is refused with a list of what it wants; `--trust` lets it."""
    refusal = failed(llm("-t", "gh:example/curious", "x"))
    assert "'gh:example/curious' comes from elsewhere and wants to use:\n" in refusal
    assert "  fragment: '/etc/hostname'\n  tool: 'llm_time'\n" in refusal
    assert server.requests == []
    server.add(text_stream("done"))
    assert shown(llm("-t", "gh:example/curious", "--trust", "x")) == "done\n"
    assert [tool["function"]["name"] for tool in server.last.body["tools"]] == ["llm_time"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gh:example/nosuch", "Template 'nosuch' not found in repository 'example/llm-templates'"),
        ("gh:example/odd", "extract: Input should be a valid boolean"),
        ("gh:example/broken", "Invalid YAML in GitHub template: while parsing"),
        ("gh:example", "GitHub template format should be"),
        ("fabric:nosuch", "Template 'nosuch' not found in Fabric repository"),
    ],
)
def test_template_that_a_plugin_cannot_load_is_told(llm: Run, name: str, reason: str) -> None:
    """What the loader says reaches stderr, with the name that was asked for."""
    assert failed(llm("-t", name, "x")).startswith(
        f"Error: Could not load template {name}: {reason}"
    )
