"""What a model, a prompt and a reply are: no files, no terminal, no database."""

from .._lazy import attach

__getattr__, __dir__ = attach(
    __name__,
    {
        "llm.content": ("Attachment", "Fragment"),
        "llm.models.base": (
            "AsyncKeyModel", "AsyncModel", "EmbeddingModelWithAliases", "KeyModel", "Model",
            "ModelWithAliases", "_AsyncModel", "_BaseModel", "_Model", "_get_key_mixin",
        ),
        "llm.models.options": ("LazyOptions", "Options"),
        "llm.models.prompt": ("Prompt", "ToolDef", "_partition_tools"),
        "llm.models.conversation": ("AsyncConversation", "Conversation", "_BaseConversation"),
        "llm.models.chain": ("AsyncChainResponse", "ChainResponse", "_BaseChainResponse"),
        "llm.tools.running": (
            "AfterCallAsync", "AfterCallSync", "BeforeCallAsync", "BeforeCallSync",
        ),
        "llm.tools.tool": ("ServerSideTool", "Tool"),
        "llm.tools.calling": (
            "CancelToolCall", "PauseChain", "ToolCall", "ToolOutput", "ToolResult",
        ),
    },
    Response="llm.models.response",
    AsyncResponse="llm.models.async_response",
    _BaseResponse="llm.models.response_base",
    NextPrompt="llm.models.plan",
    AsyncEmbeddingModel="llm.models.embedding",
    Usage="llm.parts",
    EmbeddingModel="llm.models.embedding",
    CONVERSATION_NAME_LENGTH="llm.text",
    Toolbox="llm.tools.toolbox",
    _Options="llm.models.options:Options",
    _conversation_name="llm.text:conversation_name",
)  # fmt: skip
