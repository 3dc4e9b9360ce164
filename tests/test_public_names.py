"""The names that plugins and scripts import, and what importing them costs."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import llm

from .helpers import stubs

PACKAGE_NAMES = """
    AuthError CallPolicy ConfigError ConnectionLost ContextTooLong DEFAULT_MODEL Database
    EmbeddingModel EmbeddingModelWithAliases HTTPLog Interrupted InvalidInput LLMError LazyOptions
    ModelWithAliases NotFound Overloaded RateLimited ToolContext UnknownModelError __version__
    cosine_similarity decode encode get_async_model_aliases get_async_models
    get_default_embedding_model get_default_model get_embedding_model
    get_embedding_model_aliases get_embedding_models get_embedding_models_with_aliases
    get_fragment_loaders get_model_aliases get_models get_models_with_aliases get_plugins
    get_template_loaders get_tools json_pieces key_argument load_keys load_once load_plugins
    locked
    make_http_client mask_secrets masked_headers needs_tls notice option_values parse_arguments pm
    prompt_options proxy_variable read_json_object read_text remember_request remember_secret
    for_hints remove_alias request_sent retry_after_s run_prompt say set_alias
    set_default_embedding_model
    set_default_model set_key update_json update_text watch_file
"""
MODULE_NAMES = {
    "llm": " ".join(llm.__all__) + PACKAGE_NAMES,
    "llm.cli": """
        AttachmentError AttachmentType FragmentNotFound LoadTemplateError _approve_tool_call
        _debug_tool_call _gather_tools _get_conversation_tools cli get_key get_model_options
        load_conversation load_template logs_db_path logs_on migrate process_fragments_in_chat
        render_errors resolve_fragments
    """,
    "llm.default_plugins.default_tools": "",
    "llm.default_plugins.openai_models": """
        AsyncChat AsyncKeyModel AsyncResponses Chat CodeInterpreter KeyModel StreamEvent
        hookimpl logging_client remove_dict_none_values simplify_usage_dict
        Completion OpenAIEmbeddingModel Responses SharedOptions WebSearch _Shared
        build_options_class combine_chunks not_nulls redact_data
    """,
    "llm.embeddings": "Collection EmbeddingModel Entry",
    "llm.embeddings_migrations": "embeddings_migrations",
    "llm.errors": "ConversationNotSupported ModelError NeedsKeyException",
    "llm.hookspecs": "hookimpl hookspec",
    "llm.logs": "HASH_PREFIX LogStore canonical_json content_hash message_hash",
    "llm.migrations": "migrate migration",
    "llm.models": """
        AfterCallAsync AfterCallSync AsyncChainResponse AsyncConversation AsyncKeyModel AsyncModel
        AsyncResponse Attachment BeforeCallAsync BeforeCallSync CONVERSATION_NAME_LENGTH
        CancelToolCall ChainResponse Conversation EmbeddingModel EmbeddingModelWithAliases KeyModel
        Model ModelWithAliases Options PauseChain Prompt Response ServerSideTool Tool ToolCall
        ToolDef ToolOutput ToolResult Toolbox Usage _BaseChainResponse _BaseConversation _BaseModel
        _BaseResponse _Options _conversation_name _get_key_mixin _partition_tools
    """,
    "llm.parts": """
        AttachmentPart Message Part ReasoningPart StreamEvent TextPart ToolCallPart ToolResultPart
        assistant normalize_parts system tool_message user
    """,
    "llm.plugins": "load_plugins pm",
    "llm.serialization": """
        AttachmentDict AttachmentPartDict MessageDict PartDict PromptDict ReasoningPartDict
        ResponseDict TextPartDict ToolCallPartDict ToolResultPartDict UsageDict
    """,
    "llm.templates": "Template",
    "llm.tools": "llm_time llm_version",
    "llm.utils": """
        Fragment InvalidYAML parse_yaml yaml_lines_of yaml_with_item
        dicts_to_table_string ensure_fragment ensure_tool ensure_tool_instance
        extract_fenced_code_block find_unused_key has_plugin_prefix instantiate_from_spec
        logging_client make_schema_id maybe_fenced_code mimetype_from_path mimetype_from_string
        monotonic_ulid multi_schema output_rows_as_json remove_dict_none_values
        resolve_schema_input schema_dsl schema_summary simplify_usage_dict token_usage_string
        truncate_string
    """,
}
HEAVY = """
    asyncio click condense_json filelock httpx httpx2 importlib.metadata jsonschema numpy openai
    pluggy prompt_toolkit puremagic pydantic rich sqlite3 sqlite_utils ulid yaml
"""


@pytest.mark.parametrize("module", MODULE_NAMES)
def test_public_names_import(module: str) -> None:
    """Every name that plugins import from a module is there."""
    home = importlib.import_module(module)
    missing = [name for name in MODULE_NAMES[module].split() if not hasattr(home, name)]
    assert missing == []


SUBMODULES = """
    embeddings embeddings_migrations errors hookspecs migrations models parts plugins
    serialization templates tools utils
"""


@pytest.mark.parametrize("name", SUBMODULES.split())
def test_submodules_are_served_by_the_package(name: str) -> None:
    """After `import llm` alone each is an attribute, imported when it is asked for."""
    script = (
        f"import llm, sys\nassert 'llm.{name}' not in sys.modules\n"
        f"assert llm.{name} is sys.modules['llm.{name}']\nassert '{name}' in dir(llm)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_public_names_of_the_package_are_the_37() -> None:
    """`__all__` has the names of 0.36, and `dir()` shows them with all others."""
    assert len(llm.__all__) == 37
    assert {*llm.__all__, *PACKAGE_NAMES.split()} <= set(dir(llm))


def test_public_names_are_the_same_objects_everywhere() -> None:
    """A class seen through an old import path is the class seen through the new one."""
    seen: dict[str, list[object]] = {}
    for module, names in MODULE_NAMES.items():
        for name in names.split():
            value = getattr(importlib.import_module(module), name, None)
            if isinstance(value, type):
                seen.setdefault(name, []).append(value)
    different = [name for name, values in seen.items() if any(v is not values[0] for v in values)]
    assert different == []


def test_public_names_unknown() -> None:
    """A name that does not exist is an AttributeError that names the module."""
    with pytest.raises(AttributeError, match=r"module 'llm' has no attribute 'Modle'"):
        _ = importlib.import_module("llm").Modle
    with pytest.raises(AttributeError, match=r"options' has no attribute 'Optoins'"):
        _ = importlib.import_module("llm.models.options").Optoins
    with pytest.raises(AttributeError, match=r"migrations' has no attribute 'nope'"):
        _ = importlib.import_module("llm.embeddings.migrations").nope


def test_public_names_do_not_hide_submodules() -> None:
    """Names that are functions of the package stay functions whatever was imported."""
    for name in ("user", "system", "assistant", "tool_message", "encode", "decode"):
        assert callable(getattr(llm, name))


@pytest.mark.parametrize("name", stubs.LAZY_MODULES)
def test_stub_is_current(name: str) -> None:
    """What type checkers are told of a lazy module is what it serves."""
    path = stubs.ROOT / name
    assert path.with_suffix(".pyi").read_text(encoding="utf-8") == stubs.stub(path)


@pytest.mark.parametrize(
    "statement",
    [
        "import llm",
        "import llm.models, llm.utils, llm.tools, llm.embeddings, llm.migrations",
        "from llm import Attachment, Conversation, Fragment, Message, Model, Response, Tool, user",
        "from llm.models import Prompt, LazyOptions, ChainResponse, EmbeddingModel",
    ],
)
def test_import_is_light(statement: str) -> None:
    """A new process that imports the vocabulary has loaded nothing heavy."""
    script = f"import sys; {statement}; print(*sorted(set(sys.modules) & set(sys.argv[1:])))"
    result = subprocess.run(
        [sys.executable, "-c", script, *HEAVY.split()], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []


def test_prompt_is_light() -> None:
    """Asking a model without options or tools loads nothing heavy either."""
    script = """
import sys, llm
class Quick(llm.Model):
    model_id = "quick"
    def execute(self, prompt, stream, response, conversation):
        yield "hi"
assert Quick().conversation().prompt("x", system="s").text() == "hi"
print(*sorted(set(sys.modules) & set(sys.argv[1:])))
"""
    result = subprocess.run(
        [sys.executable, "-c", script, *HEAVY.split()], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []
