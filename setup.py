"""Package metadata of `llm`."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION: dict[str, str] = {}
exec((HERE / "llm" / "_version.py").read_text(encoding="utf-8"), VERSION)

setup(
    name="llm",
    version=VERSION["VERSION"],
    description="One command, and one Python library, for every language model",
    packages=find_packages(include=["llm", "llm.*"]),
    package_data={"llm": ["py.typed"]},
    python_requires=">=3.10",
    entry_points={"console_scripts": ["llm = llm.cli:cli"]},
    install_requires=[
        "click>=8.1",
        "click-default-group>=1.2.3",
        "condense-json>=1.1,<2",
        "filelock>=3.12",
        "httpx>=0.25",
        "httpx2>=2,<3",
        "jsonschema>=4.18",
        "openai>3,<4",
        "pip",
        "pluggy>=1.3,<2",
        "prompt_toolkit>=3.0.43,<4",
        "puremagic>=1.28",
        "pydantic>=2,<3",
        "python-ulid>=2",
        "PyYAML>=6",
        "rich>=13",
        "setuptools",
        "sqlite-utils>=4,<5",
        "typing-extensions>=4.6",
    ],
)
