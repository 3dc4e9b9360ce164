"""Types of `llm/__init__.py`, whose names are served lazily."""

from llm._version import VERSION
from llm.commands._plugin_prompts import prompt_options as prompt_options
from llm.commands._plugin_prompts import run_prompt as run_prompt
from llm.content import Attachment as Attachment
from llm.content import Fragment as Fragment
from llm.database import Database as Database
from llm.embeddings import Collection as Collection
from llm.errors import AuthError as AuthError
from llm.errors import ConfigError as ConfigError
from llm.errors import ConnectionLost as ConnectionLost
from llm.errors import ContextTooLong as ContextTooLong
from llm.errors import ConversationNotSupported as ConversationNotSupported
from llm.errors import InvalidInput as InvalidInput
from llm.errors import LLMError as LLMError
from llm.errors import ModelError as ModelError
from llm.errors import NeedsKeyException as NeedsKeyException
from llm.errors import NotFound as NotFound
from llm.errors import Overloaded as Overloaded
from llm.errors import RateLimited as RateLimited
from llm.errors import UnknownModelError as UnknownModelError
from llm.files.config import DEFAULT_MODEL as DEFAULT_MODEL
from llm.files.config import get_default_embedding_model as get_default_embedding_model
from llm.files.config import get_default_model as get_default_model
from llm.files.config import get_key as get_key
from llm.files.config import load_keys as load_keys
from llm.files.config import read_json_object as read_json_object
from llm.files.config import read_text as read_text
from llm.files.config import set_default_embedding_model as set_default_embedding_model
from llm.files.config import set_default_model as set_default_model
from llm.files.config import set_key as set_key
from llm.files.config import update_json as update_json
from llm.files.config import update_text as update_text
from llm.files.config import user_dir as user_dir
from llm.hookspecs import hookimpl as hookimpl
from llm.material.registered import get_fragment_loaders as get_fragment_loaders
from llm.material.registered import get_template_loaders as get_template_loaders
from llm.material.registered import get_tools as get_tools
from llm.models.async_response import AsyncResponse as AsyncResponse
from llm.models.base import AsyncKeyModel as AsyncKeyModel
from llm.models.base import AsyncModel as AsyncModel
from llm.models.base import EmbeddingModelWithAliases as EmbeddingModelWithAliases
from llm.models.base import KeyModel as KeyModel
from llm.models.base import Model as Model
from llm.models.base import ModelWithAliases as ModelWithAliases
from llm.models.conversation import AsyncConversation as AsyncConversation
from llm.models.conversation import Conversation as Conversation
from llm.models.embedding import EmbeddingModel as EmbeddingModel
from llm.models.embedding import cosine_similarity as cosine_similarity
from llm.models.embedding import decode as decode
from llm.models.embedding import encode as encode
from llm.models.options import LazyOptions as LazyOptions
from llm.models.options import Options as Options
from llm.models.options import option_values as option_values
from llm.models.prompt import Prompt as Prompt
from llm.models.response import Response as Response
from llm.models.response_base import Usage as Usage
from llm.net.http_log import HTTPLog as HTTPLog
from llm.net.network import has_proxy as has_proxy
from llm.net.network import make_client
from llm.net.network import needs_tls as needs_tls
from llm.net.network import proxy_variable as proxy_variable
from llm.net.network import tls_context as tls_context
from llm.net.policy import CallPolicy as CallPolicy
from llm.net.policy import request_sent as request_sent
from llm.net.policy import retry_after_s as retry_after_s
from llm.parts import Message as Message
from llm.parts import assistant as assistant
from llm.parts import system as system
from llm.parts import tool_message as tool_message
from llm.parts import user as user
from llm.plugins import load_plugins as load_plugins
from llm.plugins import pm as pm
from llm.registry import get_async_model as get_async_model
from llm.registry import get_async_model_aliases as get_async_model_aliases
from llm.registry import get_async_models as get_async_models
from llm.registry import get_model as get_model
from llm.registry import get_model_aliases as get_model_aliases
from llm.registry import get_models as get_models
from llm.registry import get_models_with_aliases as get_models_with_aliases
from llm.registry import watch_file as watch_file
from llm.registry.aliases import remove_alias as remove_alias
from llm.registry.aliases import set_alias as set_alias
from llm.registry.embedding import get_embedding_model as get_embedding_model
from llm.registry.embedding import get_embedding_model_aliases as get_embedding_model_aliases
from llm.registry.embedding import get_embedding_models as get_embedding_models
from llm.registry.embedding import get_embedding_models_with_aliases as get_embedding_models_with_aliases
from llm.registry.plugin_list import get_plugins as get_plugins
from llm.run.inputs import key_argument as key_argument
from llm.schemas.notation import schema_dsl as schema_dsl
from llm.templates import Template as Template
from llm.terminal import notice as notice
from llm.terminal import say as say
from llm.text import JSONObject as JSONObject
from llm.text import json_pieces as json_pieces
from llm.text.secrets import masked
from llm.text.secrets import remember
from llm.text.secrets import remember_request as remember_request
from llm.tools.calling import CancelToolCall as CancelToolCall
from llm.tools.calling import PauseChain as PauseChain
from llm.tools.calling import ToolCall as ToolCall
from llm.tools.calling import ToolOutput as ToolOutput
from llm.tools.calling import ToolResult as ToolResult
from llm.tools.calling import parse_arguments as parse_arguments
from llm.tools.tool import ServerSideTool as ServerSideTool
from llm.tools.tool import Tool as Tool
from llm.tools.tool import tool as tool
from llm.tools.toolbox import Toolbox as Toolbox
__version__ = VERSION
make_http_client = make_client
mask_secrets = masked
remember_secret = remember
__all__ = ["AsyncConversation", "AsyncKeyModel", "AsyncModel", "AsyncResponse", "Attachment", "CancelToolCall", "Collection", "Conversation", "ConversationNotSupported", "Fragment", "KeyModel", "Message", "Model", "ModelError", "NeedsKeyException", "Options", "PauseChain", "Prompt", "Response", "ServerSideTool", "Template", "Tool", "ToolCall", "ToolOutput", "ToolResult", "Toolbox", "Usage", "assistant", "get_async_model", "get_key", "get_model", "hookimpl", "schema_dsl", "system", "tool_message", "user", "user_dir"]
