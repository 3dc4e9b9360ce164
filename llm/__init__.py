"""`llm`: one Python library for every language model.

Names are served on first use, so that `import llm` costs next to nothing::

    import llm

    response = llm.get_model("gpt-5.6-luna").prompt("Ten names for a pelican")
    for piece in response:
        print(piece, end="")
"""

from ._lazy import attach, homes_of

__all__ = [
    "AsyncConversation",
    "AsyncKeyModel",
    "AsyncModel",
    "AsyncResponse",
    "Attachment",
    "CancelToolCall",
    "Collection",
    "Conversation",
    "ConversationNotSupported",
    "Fragment",
    "KeyModel",
    "Message",
    "Model",
    "ModelError",
    "NeedsKeyException",
    "Options",
    "PauseChain",
    "Prompt",
    "Response",
    "ServerSideTool",
    "Template",
    "Tool",
    "ToolCall",
    "ToolOutput",
    "ToolResult",
    "Toolbox",
    "Usage",
    "assistant",
    "get_async_model",
    "get_key",
    "get_model",
    "hookimpl",
    "schema_dsl",
    "system",
    "tool_message",
    "user",
    "user_dir",
]

__getattr__, __dir__ = attach(
    __name__,
    homes_of(
        {
            "llm.files.config": (
                "DEFAULT_MODEL",
                "get_default_embedding_model",
                "get_default_model",
                "get_key",
                "load_keys",
                "set_default_embedding_model",
                "set_default_model",
                "user_dir",
            ),
            "llm.commands._plugin_prompts": ("prompt_options", "run_prompt"),
            "llm.content": ("Attachment", "Fragment"),
            "llm.embeddings": ("Collection",),
            "llm.errors": (
                "AuthError",
                "ConnectionLost",
                "ContextTooLong",
                "ConversationNotSupported",
                "InvalidInput",
                "LLMError",
                "ModelError",
                "NeedsKeyException",
                "Overloaded",
                "RateLimited",
                "UnknownModelError",
            ),
            "llm.hookspecs": ("EmbeddingModelWithAliases", "ModelWithAliases", "hookimpl"),
            "llm.models.base": ("AsyncKeyModel", "AsyncModel", "KeyModel", "Model"),
            "llm.models.conversation": ("AsyncConversation", "Conversation"),
            "llm.models.embedding": ("EmbeddingModel", "cosine_similarity", "decode", "encode"),
            "llm.models.options": ("LazyOptions", "Options"),
            "llm.models.prompt": ("Prompt",),
            "llm.models.response": ("Response",),
            "llm.models.async_response": ("AsyncResponse",),
            "llm.models.usage": ("Usage",),
            "llm.database": ("Database",),
            "llm.parts": ("Message", "assistant", "system", "tool_message", "user"),
            "llm.plugins": ("get_plugins", "load_plugins", "pm"),
            "llm.net.policy": ("CallPolicy",),
            "llm.material.registered": (
                "get_fragment_loaders",
                "get_template_loaders",
                "get_tools",
            ),
            "llm.registry": (
                "get_async_model",
                "get_async_model_aliases",
                "get_async_models",
                "get_embedding_model",
                "get_embedding_model_aliases",
                "get_embedding_models",
                "get_embedding_models_with_aliases",
                "get_model",
                "get_model_aliases",
                "get_models",
                "get_models_with_aliases",
                "remove_alias",
                "set_alias",
                "watch_file",
            ),
            "llm.schemas.notation": ("schema_dsl",),
            "llm.templates": ("Template",),
            "llm.terminal.output": ("say",),
            "llm.tools.calling": (
                "CancelToolCall",
                "PauseChain",
                "ToolCall",
                "ToolOutput",
                "ToolResult",
            ),
            "llm.tools.tool": ("ServerSideTool", "Tool", "tool"),
            "llm.tools.toolbox": ("Toolbox",),
        }
    ),
)
