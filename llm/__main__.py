"""`python -m llm` does what `llm` does."""

from .cli import cli

if __name__ == "__main__":
    cli(prog_name="llm")
