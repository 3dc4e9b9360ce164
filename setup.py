"""Package metadata of `llm`."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION: dict[str, str] = {}
exec((HERE / "llm" / "_version.py").read_text(encoding="utf-8"), VERSION)

TEST = [
    "coverage>=7.4",
    "hypothesis>=6.90",
    "mypy>=1.11",
    "numpy>=1.26",
    "pyright[nodejs]>=1.1.400",
    "pytest>=8",
    "pytest-asyncio>=0.24",
    "pytest-cov>=5",
    "pytest-xdist>=3.5",
    "ruff>=0.6",
    "socksio>=1",
    "trustme>=1.2",
    "ty>=0.0.100",
]
LINT = ["mypy>=1.11", "radon>=6", "ruff>=0.6", "types-PyYAML>=6"]
DOCS = ["furo>=2024.8", "myst-parser>=3", "sphinx>=7.4"]
EMBEDDINGS = ["numpy>=1.26"]

setup(
    name="llm",
    version=VERSION["VERSION"],
    description="One command, and one Python library, for every language model",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The llm contributors",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=["llm", "language model", "command line", "openai", "llama.cpp", "plugins"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: End Users/Desktop",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS",
        "Operating System :: Microsoft :: Windows",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Text Processing",
        "Topic :: Utilities",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["llm", "llm.*"]),
    package_data={"llm": ["py.typed", "*.pyi", "*/*.pyi"]},
    python_requires=">=3.10",
    entry_points={"console_scripts": ["llm = llm.cli:cli"]},
    install_requires=[
        # commands/_errors.py and _options.py set what click keeps to itself.
        "click>=8.4,<9",
        "click-default-group>=1.2.3",
        "condense-json>=1.1,<2",
        "filelock>=3.15",
        "httpx>=0.25",
        "httpx2>=2.11,<3",
        "jsonschema>=4.18",
        "openai>=3.25,<4",
        "pip",
        "pluggy>=1.3,<2",
        "prompt_toolkit>=3.0.43,<4",
        "puremagic>=1.28",
        "pydantic>=2.12,<3",
        "python-ulid>=2",
        "PyYAML>=6",
        "rich>=13",
        "setuptools",
        "sqlite-utils>=4,<5",
        "typing-extensions>=4.6",
    ],
    extras_require={
        "docs": DOCS,
        "embeddings": EMBEDDINGS,
        "lint": LINT,
        "postgres": ["psycopg[binary]>=3.2", "pgvector>=0.5"],
        "socks": ["socksio>=1"],
        "test": TEST,
        "dev": [*DOCS, *LINT, *TEST, "build>=1.2", "pre-commit>=3.5"],
    },
)
