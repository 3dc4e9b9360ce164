"""Types of `llm/models/__init__.py`, whose names are served lazily."""

from llm.content import Attachment as Attachment
from llm.content import Fragment as Fragment
from llm.models.async_response import AsyncResponse as AsyncResponse
from llm.models.base import AsyncKeyModel as AsyncKeyModel
from llm.models.base import AsyncModel as AsyncModel
from llm.models.base import EmbeddingModelWithAliases as EmbeddingModelWithAliases
from llm.models.base import KeyModel as KeyModel
from llm.models.base import Model as Model
from llm.models.base import ModelWithAliases as ModelWithAliases
from llm.models.base import _AsyncModel as _AsyncModel
from llm.models.base import _BaseModel as _BaseModel
from llm.models.base import _Model as _Model
from llm.models.base import _get_key_mixin as _get_key_mixin
from llm.models.chain import AsyncChainResponse as AsyncChainResponse
from llm.models.chain import ChainResponse as ChainResponse
from llm.models.chain import _BaseChainResponse as _BaseChainResponse
from llm.models.conversation import AsyncConversation as AsyncConversation
from llm.models.conversation import Conversation as Conversation
from llm.models.conversation import _BaseConversation as _BaseConversation
from llm.models.embedding import AsyncEmbeddingModel as AsyncEmbeddingModel
from llm.models.embedding import EmbeddingModel as EmbeddingModel
from llm.models.options import LazyOptions as LazyOptions
from llm.models.options import Options as Options
from llm.models.plan import NextPrompt as NextPrompt
from llm.models.prompt import Prompt as Prompt
from llm.models.prompt import ToolDef as ToolDef
from llm.models.prompt import _partition_tools as _partition_tools
from llm.models.response import Response as Response
from llm.models.response_base import _BaseResponse as _BaseResponse
from llm.parts import Usage as Usage
from llm.text import CONVERSATION_NAME_LENGTH as CONVERSATION_NAME_LENGTH
from llm.text import conversation_name
from llm.tools.calling import CancelToolCall as CancelToolCall
from llm.tools.calling import PauseChain as PauseChain
from llm.tools.calling import ToolCall as ToolCall
from llm.tools.calling import ToolOutput as ToolOutput
from llm.tools.calling import ToolResult as ToolResult
from llm.tools.running import AfterCallAsync as AfterCallAsync
from llm.tools.running import AfterCallSync as AfterCallSync
from llm.tools.running import BeforeCallAsync as BeforeCallAsync
from llm.tools.running import BeforeCallSync as BeforeCallSync
from llm.tools.tool import ServerSideTool as ServerSideTool
from llm.tools.tool import Tool as Tool
from llm.tools.toolbox import Toolbox as Toolbox
_Options = Options
_conversation_name = conversation_name
