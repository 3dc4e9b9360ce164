"""What a model, a prompt and a reply are: no files, no terminal, no database."""

from .._lazy import attach, homes_of

__getattr__, __dir__ = attach(
    __name__,
    {
        **homes_of(
            {
                "llm.content": ("Attachment", "Fragment"),
                "llm.models.base": (
                    "AsyncKeyModel",
                    "AsyncModel",
                    "EmbeddingModelWithAliases",
                    "KeyModel",
                    "Model",
                    "ModelWithAliases",
                    "_AsyncModel",
                    "_BaseModel",
                    "_Model",
                    "_get_key_mixin",
                ),
                "llm.models.options": ("LazyOptions", "Options"),
                "llm.models.prompt": ("Prompt", "ToolDef", "_partition_tools"),
                "llm.models.response": ("Response",),
                "llm.models.response_base": ("Usage", "_BaseResponse"),
                "llm.models.async_response": ("AsyncResponse",),
                "llm.models.conversation": (
                    "AsyncConversation",
                    "Conversation",
                    "_BaseConversation",
                ),
                "llm.models.chain": (
                    "AsyncChainResponse",
                    "ChainResponse",
                    "_BaseChainResponse",
                ),
                "llm.models.plan": ("NextPrompt",),
                "llm.models.embedding": ("EmbeddingModel",),
                "llm.text": ("CONVERSATION_NAME_LENGTH",),
                "llm.tools.running": (
                    "AfterCallAsync",
                    "AfterCallSync",
                    "BeforeCallAsync",
                    "BeforeCallSync",
                ),
                "llm.tools.tool": ("ServerSideTool", "Tool"),
                "llm.tools.toolbox": ("Toolbox",),
                "llm.tools.calling": (
                    "CancelToolCall",
                    "PauseChain",
                    "ToolCall",
                    "ToolOutput",
                    "ToolResult",
                ),
            }
        ),
        "_Options": "llm.models.options:Options",
        "_conversation_name": "llm.text:conversation_name",
    },
)
