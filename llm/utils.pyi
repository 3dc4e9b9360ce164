"""Types of `llm/utils.py`, whose names are served lazily."""

from llm.content import Fragment as Fragment
from llm.files.yaml_files import InvalidYAML as InvalidYAML
from llm.files.yaml_files import parse_yaml as parse_yaml
from llm.files.yaml_files import yaml_lines_of as yaml_lines_of
from llm.files.yaml_files import yaml_with_item as yaml_with_item
from llm.logs.records.shared import ensure_fragment as ensure_fragment
from llm.logs.records.shared import ensure_tool as ensure_tool
from llm.logs.records.shared import ensure_tool_instance as ensure_tool_instance
from llm.net.http import logging_client as logging_client
from llm.schemas.notation import make_schema_id as make_schema_id
from llm.schemas.notation import multi_schema as multi_schema
from llm.schemas.notation import resolve_schema_input as resolve_schema_input
from llm.schemas.notation import schema_dsl as schema_dsl
from llm.schemas.notation import schema_summary as schema_summary
from llm.text import dicts_to_table_string as dicts_to_table_string
from llm.text import extract_fenced_code_block as extract_fenced_code_block
from llm.text import find_unused_key as find_unused_key
from llm.text import has_plugin_prefix as has_plugin_prefix
from llm.text import maybe_fenced_code as maybe_fenced_code
from llm.text import monotonic_ulid as monotonic_ulid
from llm.text import output_rows_as_json as output_rows_as_json
from llm.text import remove_dict_none_values as remove_dict_none_values
from llm.text import simplify_usage_dict as simplify_usage_dict
from llm.text import token_usage_string as token_usage_string
from llm.text import truncate_string as truncate_string
from llm.text.media import type_of_bytes
from llm.text.media import type_of_path
from llm.tools.toolbox import instantiate_from_spec as instantiate_from_spec
mimetype_from_path = type_of_path
mimetype_from_string = type_of_bytes
