"""`llm`: one Python library for every language model.

Names are served on first use, so that `import llm` costs next to nothing::

    import llm

    response = llm.get_model("gpt-5.6-luna").prompt("Ten names for a pelican")
    for piece in response:
        print(piece, end="")
"""

from ._lazy import attach

__all__ = [
    "AsyncConversation", "AsyncKeyModel", "AsyncModel", "AsyncResponse", "Attachment",
    "CancelToolCall", "Collection", "Conversation", "ConversationNotSupported", "Fragment",
    "KeyModel", "Message", "Model", "ModelError", "NeedsKeyException", "Options", "PauseChain",
    "Prompt", "Response", "ServerSideTool", "Template", "Tool", "ToolCall", "ToolOutput",
    "ToolResult", "Toolbox", "Usage", "assistant", "get_async_model", "get_key", "get_model",
    "hookimpl", "schema_dsl", "system", "tool_message", "user", "user_dir",
]  # fmt: skip

__getattr__, __dir__ = attach(
    __name__,
    {
        "llm": (
            "embeddings", "embeddings_migrations", "errors", "hookspecs", "migrations", "models",
            "parts", "plugins", "serialization", "templates", "tools", "utils",
        ),
        "llm.files": ("locked",),
        "llm.files.config": (
            "DEFAULT_MODEL", "get_default_embedding_model", "get_default_model", "get_key",
            "load_keys", "read_json_object", "read_text", "set_default_embedding_model",
            "set_default_model", "set_key", "update_json", "update_text", "user_dir",
        ),
        "llm.commands._plugin_prompts": ("prompt_options", "run_prompt"),
        "llm.content": ("Attachment", "Fragment"),
        "llm.errors": (
            "AuthError", "ConfigError", "ConnectionLost", "ContextTooLong",
            "ConversationNotSupported", "Interrupted", "InvalidInput", "LLMError", "ModelError",
            "NeedsKeyException", "NotFound", "Overloaded", "RateLimited", "UnknownModelError",
        ),
        "llm.models.base": (
            "AsyncKeyModel", "AsyncModel", "EmbeddingModelWithAliases", "KeyModel", "Model",
            "ModelWithAliases",
        ),
        "llm.models.conversation": ("AsyncConversation", "Conversation"),
        "llm.models.embedding": (
            "AsyncEmbeddingModel", "EmbeddingModel", "cosine_similarity", "decode", "encode",
        ),
        "llm.models.options": ("LazyOptions", "Options", "option_values"),
        "llm.parts": ("Message", "Usage", "assistant", "system", "tool_message", "user"),
        "llm.net.network": ("has_proxy", "needs_tls", "proxy_variable", "tls_context"),
        "llm.text": ("JSONObject", "json_pieces"),
        "llm.registry.plugin_list": ("get_plugins",),
        "llm.plugins": ("load_plugins", "pm"),
        "llm.net.policy": ("CallPolicy", "request_sent", "retry_after_s"),
        "llm.material.registered": ("get_fragment_loaders", "get_template_loaders", "get_tools"),
        "llm.registry.aliases": ("remove_alias", "set_alias"),
        "llm.registry.embedding": (
            "get_async_embedding_model", "get_embedding_model", "get_embedding_model_aliases",
            "get_embedding_models", "get_embedding_models_with_aliases",
        ),
        "llm.registry": (
            "get_async_model", "get_async_model_aliases", "get_async_models", "get_model",
            "get_model_aliases", "get_models", "get_models_with_aliases", "watch_file",
        ),
        "llm.terminal": ("notice", "say"),
        "llm.tools.calling": (
            "CancelToolCall", "PauseChain", "ToolCall", "ToolContext", "ToolOutput", "ToolResult",
            "parse_arguments",
        ),
        "llm.tools.tool": ("ServerSideTool", "Tool", "tool"),
    },
    for_hints="llm._lazy",
    AsyncCollection="llm.embeddings",
    Collection="llm.embeddings",
    hookimpl="llm.hookspecs",
    Prompt="llm.models.prompt",
    Response="llm.models.response",
    AsyncResponse="llm.models.async_response",
    Database="llm.database",
    HTTPLog="llm.net.http_log",
    key_argument="llm.prompting.inputs",
    load_once="llm.models.loading",
    remember_request="llm.text.secrets",
    schema_dsl="llm.schemas.notation",
    Template="llm.templates",
    Toolbox="llm.tools.toolbox",
    __version__="llm._version:VERSION",
    make_http_client="llm.net.network:make_client",
    mask_secrets="llm.text.secrets:masked",
    masked_headers="llm.text.secrets",
    remember_secret="llm.text.secrets:remember",
)  # fmt: skip
