"""One environment with all plugins, and somebody who uses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ...helpers.authority import Authority
from ...helpers.plugin_environment import PluginEnvironment, plugin_environment
from .guests import FFMPEG, GUESTS
from .user import User, Vendors
from .vendors import STANDING


@pytest.fixture(scope="session")
def everything() -> PluginEnvironment:
    """An environment with all plugins."""
    return plugin_environment(*GUESTS, FFMPEG)


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Vouches for the vendors."""
    return Authority()


@pytest.fixture
def vendors(authority: Authority) -> Iterator[Vendors]:
    """All vendors, with what they always answer."""
    with Vendors(authority) as running:
        running.standing = dict(STANDING)
        yield running


@pytest.fixture
def user(
    everything: PluginEnvironment,
    vendors: Vendors,
    authority: Authority,
    user_path: Path,
    tmp_path: Path,
) -> User:
    """A user who has stored no key."""
    user_path.chmod(0o700)
    return User(everything, vendors, user_path, authority.write(tmp_path / "authority.pem"))
