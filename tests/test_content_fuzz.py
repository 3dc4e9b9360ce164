"""Whatever a template or a schema holds: an answer or an error with a place, never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm.errors import InvalidInput, LLMError, LoadTemplateError
from llm.files.template_files import quick_fields
from llm.schemas.notation import make_schema_id, resolve_schema, schema_dsl, schema_summary
from llm.templates import Template, parse_template


def examples(full: int) -> settings:
    """The settings of a test with that many examples in the full run."""
    quiet = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    assert settings.default is not None
    count = min(full, settings.default.max_examples)
    return settings(max_examples=count, deadline=None, suppress_health_check=quiet)


def outcome(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Exception | None]:
    """What a function gives, or the error that a user would read."""
    try:
        return function(*arguments), None
    except (LLMError, ValueError) as error:
        return None, error


KEYS = st.sampled_from(
    [*Template.model_fields, "bogus", "1", "'a'", "? x", "<<", "!!str k", "&a k"]
)
SCRAPS = st.sampled_from(
    [
        *("x", "5", "1.5", "true", "null", "~", "[]", "[a, 1]", "{}", "{a: b}", "{1: 2}", "[", "{"),
        *("|", "|-", ">", "'a", '"', '"\\ud800"', "!!int ''", "!!binary x", "!!set {a}", "&a [*a]"),
        *("*a", "2001-99-99", "2001-01-01", "!!bool x", "!!timestamp x", "0x", "1e999999", "- - -"),
        *("$input", "${input}", "$$", "${", "a: b", "a #b", "!x y", "%TAG", "---", "...", "? a"),
        *("\x00", "\x07", "\t", "\r", "\u2028", "\ufeff", "\U0001f600", "@", "`", "[" * 300),
        *(
            "\n  a\n b",
            "\n- a\n- {type: t, value: v}",
            "\n  k: v\n  l: [1]",
            "\n    text\n\n    more",
        ),
    ]
)
LINES = st.builds("{}: {}".format, KEYS, SCRAPS)
DOCUMENTS = st.lists(st.one_of(LINES, SCRAPS, st.text(max_size=20)), max_size=8).map("\n".join)
# Only what is dumped by the YAML library itself, so that it is valid YAML.
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
MAPPINGS = st.dictionaries(st.sampled_from([*Template.model_fields, "bogus"]), VALUES)


@examples(2000)
@given(st.one_of(DOCUMENTS, MAPPINGS.map(yaml.safe_dump), st.text()))
def test_template_is_read_or_refused_with_its_place(text: str) -> None:
    """Any text is a template, or an error that names the file and the line."""
    template, error = outcome(parse_template, "t", text, "FILE")
    if template is None:
        assert isinstance(error, LoadTemplateError)
        assert str(error).startswith("FILE, line ")
        return
    assert template.name == "t"
    filled, error = outcome(template.evaluate, "input", {"a": 1})
    assert filled is not None or str(error).startswith("Missing variables: ")


@examples(2000)
@given(st.one_of(DOCUMENTS, MAPPINGS.map(yaml.safe_dump)))
def test_quick_reading_agrees_with_yaml(text: str) -> None:
    """What is read without the YAML library is what the library reads."""
    fields = quick_fields(text)
    if fields is None:
        return
    template = parse_template("t", text, "FILE")
    assert (template.prompt, template.system) == (fields.get("prompt"), fields.get("system"))


FIELDS = st.one_of(
    st.text(max_size=20),
    st.builds(
        "{} {}: {}".format,
        st.text(max_size=5),
        st.sampled_from(["str", "int", "float", "bool", "foo", ""]),
        st.text(max_size=8),
    ),
)


@examples(5000)
@given(st.one_of(st.text(), st.lists(FIELDS).map(",".join), st.lists(FIELDS).map("\n".join)))
def test_short_notation_is_a_schema_or_an_error(text: str) -> None:
    """Any text is a schema of an object, or a ValueError that says why not."""
    schema, error = outcome(schema_dsl, text)
    if schema is None:
        assert str(error).startswith("Invalid schema DSL: ")
        return
    assert list(schema["properties"]) == schema["required"]
    make_schema_id(schema)
    schema_summary(schema)


@examples(5000)
@given(st.one_of(st.text(), FIELDS, st.text().map("{{{}".format)))
def test_named_schema_is_found_or_refused(text: str) -> None:
    """Any value of `--schema` is a schema, or an error for the user."""
    arguments = (text, lambda name: Template(name=name), lambda schema_id: None)
    schema, error = outcome(resolve_schema, *arguments)
    if schema is None:
        assert isinstance(error, InvalidInput) or text.strip().startswith("t:")
    else:
        assert isinstance(schema, dict)
