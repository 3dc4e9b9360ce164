"""The version of this package, as a literal that `setup.py` reads without importing anything."""

VERSION = "0.50.0"
