# Recipes for working on llm. `just` lists them.

python := ".venv/bin/python"

# List the recipes
default:
    @just --list

# Make the virtual environment with everything needed
setup:
    python3 -m venv .venv
    .venv/bin/pip install -e '.[dev]'

# Run the tests; arguments go to pytest
test *args:
    {{python}} -m pytest -n 2 {{args}}

# Run the tests and fail below 95 % branch coverage
cover:
    {{python}} -m pytest -n 2 --cov=llm --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=95

# Check style and types
lint:
    {{python}} -m ruff check .
    {{python}} -m ruff format --check .
    {{python}} -m mypy --strict

# Apply formatting and the fixes that are safe
fix:
    {{python}} -m ruff check --fix .
    {{python}} -m ruff format .

# Write the generated reference pages and build the documentation
docs:
    {{python}} docs/generate.py
    {{python}} -m sphinx -W -b html docs docs/_build/html

# Build sdist and wheel
build:
    {{python}} -m build

# Run one benchmark, for example `just bench startup`
bench name:
    python3 bench/{{name}}.py

# Everything that has to pass
ci:
    .ci/run
