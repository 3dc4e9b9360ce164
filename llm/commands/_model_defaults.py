"""Default options of a model and the defaults of its calls, as one list for the user."""

from __future__ import annotations


def is_call_default(model_id: str, name: str) -> bool:
    """Whether `name` says how the model is called, and is no option of the model's own."""
    from ..files.model_defaults import NAMES

    if name not in NAMES:
        return False
    import llm

    from ..errors import UnknownModelError

    try:
        return name not in llm.get_model(model_id).Options.model_fields
    except UnknownModelError:
        return True


def stored_options() -> dict[str, dict[str, str]]:
    """Everything that is stored for the models: model id -> name -> value as it was typed."""
    from ..files.config import load_model_options
    from ..files.model_defaults import load_model_defaults

    options = load_model_options()
    for model_id, values in load_model_defaults().items():
        options[model_id] = {**options.get(model_id, {}), **values}
    return options


def store_option(model_id: str, name: str, value: str) -> None:
    """Check a default and store it in the file that it belongs to.

    Raises:
        LLMError: There is no such option, or it does not take the value.
        click.ClickException: The same, for an option of the model's own.
    """
    from ._models import check_option

    if is_call_default(model_id, name):
        from ..files.model_defaults import parse_fallback, set_model_default
        from ..registry import resolve_model_id

        if name == "fallback":
            import llm

            value = ",".join(resolve_model_id(entry) for entry in parse_fallback(value))
            for entry in parse_fallback(value):
                llm.get_model(entry)
        set_model_default(model_id, name, value)
        return
    from ..files.config import set_model_option

    check_option(model_id, name, value)
    set_model_option(model_id, name, value)


def clear_options(model_id: str, name: str | None) -> None:
    """Remove one stored default of a model, or all of them, from both files."""
    from ..files.config import clear_model_option
    from ..files.model_defaults import clear_model_default

    clear_model_option(model_id, name)
    clear_model_default(model_id, name)
