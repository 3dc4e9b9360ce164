"""A person with plugins, and the vendors that these reach at the addresses they are published with.

A proxy on loopback leads all of them to an imitation, which proves itself as the vendor by an
authority of the tests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...helpers.openai_server import OpenAIServer, Received, Reply
from ...helpers.plugin_environment import PluginEnvironment


class Vendors(OpenAIServer):
    """All vendors in one.

    Attributes:
        standing: What they answer at these paths, however often they are asked; such requests are
            not kept.
    """

    standing: dict[str, Reply]

    def reply_to(self, received: Received) -> Reply:
        """A standing answer, or the next of the script."""
        standing = self.standing.get(received.path.partition("?")[0])
        return standing or super().reply_to(received)


class User:
    """The plugins of one user, who has stored nothing.

    Args:
        environment: Where they are installed.
        vendors: Who answers.
        user_path: What the user has stored.
        certificate: The authority that the user trusts.
    """

    def __init__(
        self,
        environment: PluginEnvironment,
        vendors: Vendors,
        user_path: Path,
        certificate: Path,
    ) -> None:
        self.vendors = vendors
        self.path = user_path
        # Python looks for modules in the current folder; the index holds while that stays as it is.
        self._here = user_path.parent / "here"
        self._here.mkdir()
        self._environment = environment
        self._variables = {
            "HTTP_PROXY": vendors.proxy_url,
            "HTTPS_PROXY": vendors.proxy_url,
            "NO_PROXY": "127.0.0.1",
            "SSL_CERT_FILE": str(certificate),
            "OLLAMA_HOST": vendors.proxy_url,
            "LLM_DEEPSEEK_KEY": "",
        }

    def uses(self, *plugins: str) -> User:
        """Let just these distributions take part; returns itself."""
        self._environment = self._environment.only(*plugins)
        return self

    def store(self, name: str, value: Any) -> None:
        """Put a file into the user directory."""
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(value))
        path.chmod(0o600)

    def ask(
        self, *args: str, replies: list[Reply] | None = None, env: Mapping[str, str] | None = None
    ) -> str:
        """What `llm` writes with these arguments, when the vendor answers like this."""
        self.vendors.add(*(replies or []))
        environment = {**self._variables, **(env or {})}
        result = self._environment.llm(*args, env=environment, cwd=self._here)
        assert (result.stderr, result.returncode) == ("", 0), result.stderr
        assert self.vendors.replies == []
        return result.stdout

    def refuses(self, *args: str) -> str:
        """The error that `llm` ends with, before anything is sent."""
        told = self.fails(*args)
        assert self.vendors.requests == []
        return told

    def fails(self, *args: str, replies: list[Reply] | None = None) -> str:
        """The error that `llm` ends with."""
        self.vendors.add(*(replies or []))
        result = self._environment.llm(*args, env=self._variables, cwd=self._here)
        assert (result.returncode, result.stdout.strip()) == (1, ""), result
        assert "Traceback" not in result.stderr
        return result.stderr

    def runs(self, program: str) -> Any:
        """What a Python program of the environment prints, which is JSON."""
        result = self._environment.run("-c", program, env=self._variables)
        assert (result.stderr, result.returncode) == ("", 0), result.stderr
        return json.loads(result.stdout)

    @property
    def last(self) -> Received:
        """The latest request."""
        return self.vendors.last
