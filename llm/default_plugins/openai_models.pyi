"""Types of `llm/default_plugins/openai_models.py`, whose names are served lazily."""

from llm import AsyncKeyModel as AsyncKeyModel
from llm import KeyModel as KeyModel
from llm import hookimpl as hookimpl
from llm.parts import StreamEvent as StreamEvent
from llm.providers.openai import catalog as catalog
from llm.providers.openai.chat import AsyncChat as AsyncChat
from llm.providers.openai.chat import AsyncResponses as AsyncResponses
from llm.providers.openai.chat import Chat as Chat
from llm.providers.openai.chat import Completion as Completion
from llm.providers.openai.chat import Responses as Responses
from llm.providers.openai.chat import _SharedResponses as _SharedResponses
from llm.providers.openai.embedding import OpenAIEmbeddingModel as OpenAIEmbeddingModel
from llm.providers.openai.options import ImageDetailEnum as ImageDetailEnum
from llm.providers.openai.options import ImageDetailWithOriginalEnum as ImageDetailWithOriginalEnum
from llm.providers.openai.options import ReasoningEffortEnum as ReasoningEffortEnum
from llm.providers.openai.options import ReasoningSummaryEnum as ReasoningSummaryEnum
from llm.providers.openai.options import SharedOptions as SharedOptions
from llm.providers.openai.options import VerbosityEnum as VerbosityEnum
from llm.providers.openai.options import build_options_class as build_options_class
from llm.providers.openai.shared import _Shared as _Shared
from llm.providers.openai.wire.chat_answers import combine_chunks as combine_chunks
from llm.providers.openai.wire.chat_requests import attachment_item
from llm.providers.openai.wire.server_tools import CodeInterpreter as CodeInterpreter
from llm.providers.openai.wire.server_tools import WebSearch as WebSearch
from llm.providers.openai.wire.shapes import not_nulls as not_nulls
from llm.providers.openai.wire.shapes import redact_data as redact_data
from llm.utils import logging_client as logging_client
from llm.utils import remove_dict_none_values as remove_dict_none_values
from llm.utils import simplify_usage_dict as simplify_usage_dict
_attachment = attachment_item
__all__ = ["register_commands", "register_embedding_models", "register_models"]
import click
from llm.hookspecs import RegisterEmbeddingModel, RegisterModel
def register_models(register: RegisterModel) -> None: ...
def register_embedding_models(register: RegisterEmbeddingModel) -> None: ...
def register_commands(cli: click.Group) -> None: ...
