"""Types of `llm/testing/__init__.py`, whose names are served lazily."""

from llm.testing.command import run_cli as run_cli
from llm.testing.conformance import check_model as check_model
from llm.testing.models import AsyncScriptedModel as AsyncScriptedModel
from llm.testing.models import ScriptedModel as ScriptedModel
from llm.testing.models import registered as registered
from llm.testing.openai_server import OpenAIServer as OpenAIServer
from llm.testing.openai_server import Received as Received
from llm.testing.openai_server import Reply as Reply
from llm.testing.openai_server import chunk as chunk
from llm.testing.openai_server import completion as completion
from llm.testing.openai_server import error_reply as error_reply
from llm.testing.openai_server import json_reply as json_reply
from llm.testing.openai_server import sse_reply as sse_reply
