"""Names that plugins import from here; each lives in the module of its subject."""

from ._lazy import attach

__getattr__, __dir__ = attach(
    __name__,
    {
        "llm.files.yaml_files": ("InvalidYAML", "parse_yaml", "yaml_lines_of", "yaml_with_item"),
        "llm.logs.records.shared": ("ensure_fragment", "ensure_tool", "ensure_tool_instance"),
        "llm.schemas.notation": (
            "make_schema_id", "multi_schema", "resolve_schema_input", "schema_dsl",
            "schema_summary",
        ),
        "llm.text": (
            "dicts_to_table_string", "extract_fenced_code_block", "find_unused_key",
            "has_plugin_prefix", "maybe_fenced_code", "monotonic_ulid", "output_rows_as_json",
            "remove_dict_none_values", "simplify_usage_dict", "token_usage_string",
            "truncate_string",
        ),
    },
    Fragment="llm.content",
    logging_client="llm.net.http",
    instantiate_from_spec="llm.tools.toolbox",
    mimetype_from_path="llm.text.media:type_of_path",
    mimetype_from_string="llm.text.media:type_of_bytes",
)  # fmt: skip
