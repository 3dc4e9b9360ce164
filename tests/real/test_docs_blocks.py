"""What a reader types: the blocks of each page run in their order, in a fresh directory, twice.

Pages that are all Python run in `test_docs.py`. The reader has this checkout installed, a service
that answers every prompt, the small model's file, a web site and a few files of their own.
Everything else a page has to bring along.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import llm

from ..helpers.plugin_environment import PluginEnvironment, new_environment
from ..helpers.sample import sample
from ..helpers.smollm import ensure_engine, gguf_path, register_default_model
from ..test_docs import BLOCK, PAGES, ROOT, blocks, name_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the blocks are for a Unix shell")

# Left out, as they take hours, or write this checkout.
NOT_RUN = {"docs/benchmarks.md", "docs/contributing/index.md"}
# There is no key where these pages are read.
WITHOUT_KEY = {"README.md", "docs/index.md", "docs/tutorial.md", "docs/local.md"}
LANGUAGES = ("bash", "python", "yaml", "toml")
# Where the configuration goes that a page shows, by how it begins.
FILES = {
    "- model_id:": "$LLM_USER_PATH/extra-openai-models.yaml",
    "ask:": "$LLM_USER_PATH/tools.yaml",
    "model:": "$LLM_USER_PATH/templates/page.yaml",
    "# pyproject.toml": "pyproject.toml",
}
ADDRESSES = re.compile(r"https?://(?:127\.0\.0\.1:8080|gateway\.example\.com|example\.com)")
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + b"\0" * 24
TEXTS = (
    *("article.txt", "style-guide.md", "rules.md", "monday.txt"),
    *("src/main.py", "docs/one.md", "notes/one.md", "manual/guide.md"),
)

# Creating an environment and installing the checkout are what was done before the page is read.
COMMANDS = {
    "llm": """
case "$*" in
  "keys set"*) [ -p /dev/stdin ] || exec < <(echo sk-docs-key) ;;
  # The small service quotes nothing.
  *" --strict "*) "$DOCS_PYTHON" -m llm "$@" || [ $? -eq 5 ]; exit ;;
  *" delete "*|*" redact "*|"local remove "*|"uninstall "*) exec < <(echo y) ;;
esac
exec "$DOCS_PYTHON" -m llm "$@"
""",
    "python": """
case "$*" in
  "-m venv "*) mkdir -p "$3"; cp -r "$DOCS_BIN" "$3/bin"; exit ;;
  "-m pytest -n 2") exit ;;
esac
exec "$DOCS_PYTHON" "$@"
""",
    "pip": """
case "$*" in "install ."|"install -e "*) exit ;; esac
exec "$DOCS_PYTHON" -m pip "$@"
""",
    "activate": 'PATH="$PWD/.venv/bin:$PATH"\n',
}
# A page's Python is one script; its plugins are registered as installed ones would be.
PYTHON_PRELUDE = """
def _plugin(name, source):
    import types
    from llm.cli import cli
    from llm.plugins import pm
    module = types.ModuleType(name)
    exec(source, vars(module))
    pm.register(module, name=name)
    if hasattr(module, "register_commands"):
        module.register_commands(cli)
"""


class Service(BaseHTTPRequestHandler):
    """A web site, and a service with both protocols of OpenAI."""

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """A list of models, an image or a text."""
        if self.path.endswith("/models"):
            self._send(json.dumps({"data": [{"id": "smollm2"}]}).encode(), "application/json")
        elif self.path.endswith(".jpg"):
            self._send(JPEG, "image/jpeg")
        else:
            self._send(b"A text from the web\n", "text/plain")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """An answer in text, or one that fits the schema."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        shape = asked.get("response_format", {}).get("json_schema")
        shape = shape or asked.get("text", {}).get("format", {})
        has_schema = "schema" in shape
        text = json.dumps(sample(shape["schema"])) if has_schema else "One, two, three"
        if self.path.endswith("/embeddings"):
            given = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
            vectors = [{"index": n, "embedding": [0.5, 1.0]} for n in range(len(given))]
            self._send_json({"data": vectors})
        elif self.path.endswith("/responses"):
            item = {"type": "message", "content": [{"type": "output_text", "text": text}]}
            done = {"id": "r", "status": "completed", "model": asked["model"], "output": [item]}
            event = {"type": "response.completed", "response": done}
            self._send_json(event if asked.get("stream") else done, asked.get("stream"))
        else:
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "finish_reason": "stop", "delta": message, "message": message}
            answer = {"id": "c", "model": asked["model"], "choices": [choice]}
            self._send_json(answer, asked.get("stream"))

    def _send_json(self, value: Any, is_streamed: bool = False) -> None:
        text = json.dumps(value)
        if is_streamed:
            self._send(f"data: {text}\n\ndata: [DONE]\n\n".encode(), "text/event-stream")
        else:
            self._send(text.encode(), "application/json")

    def _send(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """The address of the service."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """The blocks of a page that are run or written, with their languages."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [
        (language, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE))
        for indent, language, text in found
        if language in LANGUAGES
    ]


def script_of(page: Path, folder: Path) -> str:
    """The shell script that a page is; its Python stands in files of the folder."""
    lines = ["set -eu"]
    python = [PYTHON_PRELUDE]
    for number, (language, text) in enumerate(blocks_of(page)):
        if language == "bash":
            lines.append(text)
        elif language == "python":
            head = re.match(r"# (\w+)\.py\n", text)
            if head:
                lines.append(_written(f"{head[1]}.py", text))
            if head and head[1].startswith("llm_"):
                python.append(f"_plugin({head[1]!r}, {text!r})\n")
            elif not head:
                python.append(text)
            following = blocks_of(page)[number + 1 :]
            if not following or following[0][0] != "python":
                (folder / f"{number}.py").write_text("\n".join(python), encoding="utf-8")
                lines.append(f'python "{folder}/{number}.py"')
                python = [PYTHON_PRELUDE]
        else:
            target = next(file for start, file in FILES.items() if text.startswith(start))
            lines.append(_written(target, text))
    return "\n".join(lines)


def _written(target: str, text: str) -> str:
    """The lines of a script that write a file, unless it is there: then the page shows it."""
    folder = f'mkdir -p "$(dirname "{target}")"'
    return f'{folder}\n[ -e "{target}" ] || cat > "{target}" <<\'END\'\n{text}END'


def furnish(work: Path) -> None:
    """Give the reader the files that the pages speak of."""
    for name in ("README.md", "setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, work)
    for name in TEXTS:
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(f"This is {name}, a guide to time-outs\n")
    for name in ("photo.jpg", "one.png", "two.png", "page.png"):
        (work / name).write_bytes(JPEG if name.endswith("jpg") else PNG)
    (work / "posts.csv").write_text("id,title\n1,Pelicans\n2,Swans\n")
    with closing(sqlite3.connect(work / "blog.db")) as blog:
        blog.executescript(
            "create table posts (id, title, body); insert into posts values (1, 2, 3)"
        )
    (work / "notes.bin").write_bytes(b"%PDF-1.4 notes")
    for command in (["init", "-q"], ["add", "article.txt"]):
        subprocess.run(["git", *command], cwd=work, check=True)
    (work / "article.txt").write_text("This has changed\n")
    downloads = work / "Downloads"
    downloads.mkdir()
    for name in ("Qwen3-4B-Q4_K_M.gguf", "nomic-embed-text-v1.5.Q8_0.gguf"):
        (downloads / name).symlink_to(gguf_path())


@pytest.fixture
def reader(tmp_path: Path, service: str) -> tuple[PluginEnvironment, dict[str, str], Path]:
    """The environment, the variables and the folder of somebody who reads a page."""
    environment = new_environment(tmp_path / "environment")
    binaries, work, user = (tmp_path / "reader" / name for name in ("bin", "work", "user"))
    for folder in (binaries, work, user, user / "local"):
        folder.mkdir(mode=0o700, parents=True)
    for name, text in COMMANDS.items():
        (binaries / name).write_text(f"#!/bin/bash\n{text}")
        (binaries / name).chmod(0o755)
    (binaries / "python3").symlink_to("python")
    furnish(work)
    # As if it had been fetched before.
    ensure_engine()
    (user / "local" / "smollm2-135m.gguf").symlink_to(gguf_path())
    # The small model may go on for long; a page also calls it by another name.
    capped = {name: {"max_tokens": 8} for name in ("local/smollm2-135m", "local/qwen")}
    (user / "model_options.json").write_text(json.dumps(capped))
    variables = environment.variables(
        {
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(work),
            "DOCS_BIN": str(binaries),
            "DOCS_PYTHON": str(environment.python),
            "LLM_USER_PATH": str(user),
            "OPENAI_BASE_URL": f"{service}/v1",
        }
    )
    return environment, variables, work


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if blocks(page, "bash") and name_of(page) not in NOT_RUN],
    ids=name_of,
)
def test_blocks_of_a_page_run_twice(
    page: Path,
    reader: tuple[PluginEnvironment, dict[str, str], Path],
    service: str,
    tmp_path: Path,
) -> None:
    """Each block works after those before it, also for somebody who begins the page again."""
    _, variables, work = reader
    if name_of(page) not in WITHOUT_KEY:
        variables["OPENAI_API_KEY"] = "sk-docs-key"
    (tmp_path / "python").mkdir()
    script = script_of(page, tmp_path / "python")
    for path in (tmp_path / "python").iterdir():
        path.write_text(ADDRESSES.sub(service, path.read_text()))
    for turn in ("first", "second"):
        done = subprocess.run(
            ["bash", "-xc", ADDRESSES.sub(service, script)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=work,
            env=variables,
            timeout=300,
        )
        assert done.returncode == 0, f"the {turn} time: {done.stderr[-3000:]}"
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", sorted(WITHOUT_KEY))
def test_first_prompts_end_by_themselves_and_well(name: str) -> None:
    """The small model can answer what a newcomer asks first, and what they ask then."""
    register_default_model()
    shell = "\n".join(blocks(ROOT / name, "bash"))
    conversation = llm.get_model().conversation()
    expected = {"": "The capital of Japan is Tokyo.", "-c ": "The capital of Italy is Rome."}
    asked = [re.search(rf"\bllm {flag}'([^']+)'", shell) for flag in expected]
    for found, answer in zip(asked, expected.values(), strict=True):
        if found is not None:
            response = conversation.prompt(found[1])
            assert (response.text(), response.cut_off) == (answer, None)
    assert asked[0] is not None
