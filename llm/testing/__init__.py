"""Tests of plugins and of programs that use `llm`: models, a server and commands that need nobody.

::

    from llm.testing import ScriptedModel, check_model, registered, run_cli

    with registered(ScriptedModel(["Hello"], model_id="polite")):
        assert run_cli("-m", "polite", "hi").output == "Hello\\n"

Nothing here is imported by `llm` itself.
"""

from .._lazy import attach

__getattr__, __dir__ = attach(
    __name__,
    {
        "llm.testing.command": ("run_cli",),
        "llm.testing.conformance": ("check_model",),
        "llm.testing.models": ("AsyncScriptedModel", "ScriptedModel", "registered"),
        "llm.testing.openai_server": (
            "OpenAIServer", "Received", "Reply", "chunk", "completion", "error_reply", "json_reply",
            "sse_reply",
        ),
    },
)  # fmt: skip
