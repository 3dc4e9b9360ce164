"""Whether any plugin is installed, judged from the folders alone."""

from __future__ import annotations

import itertools
import os
import sys
import time
from pathlib import Path

import pytest

from llm import plugin_index
from llm.plugin_index import any_plugin_installed, records

# Times long ago, each later than the one before.
TIMES = itertools.count(int(time.time()) - 100_000)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of `sys.path`."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder)])
    return folder


def add_distribution(site: Path, name: str, group: str) -> Path:
    folder = site / name
    folder.mkdir()
    listing = folder / "entry_points.txt"
    listing.write_text(f"[console_scripts]\na = b\n\n[{group}]\nx = y\n")
    settle(site)
    return listing


def settle(path: Path) -> None:
    moment = next(TIMES)
    os.utime(path, (moment, moment))


def cache_file(user_path: Path) -> Path:
    (found,) = (user_path / "cache").iterdir()
    return found


@pytest.mark.parametrize("suffix", [".dist-info", ".egg-info"])
def test_plugin_is_found(site: Path, suffix: str) -> None:
    """An entry point of group llm counts, in either kind of metadata; others do not."""
    (site / "bare-1.0.dist-info").mkdir()
    (site / "file.egg-info").write_text("Name: file")
    add_distribution(site, f"other-1.0{suffix}", "other")
    assert not any_plugin_installed()
    add_distribution(site, f"llm_x-1.0{suffix}", "llm")
    assert any_plugin_installed()


def test_answer_is_cached(site: Path, user_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look reads no metadata as long as no folder has changed."""
    add_distribution(site, "other-1.0.dist-info", "other")
    assert not any_plugin_installed()
    searched: list[object] = []
    monkeypatch.setattr(plugin_index, "_search", searched.append)
    assert not any_plugin_installed()
    assert searched == []
    assert cache_file(user_path).parent.stat().st_mode & 0o077 == 0


def test_cached_answer_ends_with_a_change(site: Path) -> None:
    """Installing and removing a plugin is seen at once."""
    settle(site)
    assert not any_plugin_installed()
    listing = add_distribution(site, "llm_x-1.0.dist-info", "llm")
    assert any_plugin_installed()
    listing.unlink()
    listing.parent.rmdir()
    settle(site)
    assert not any_plugin_installed()


def test_egg_info_rewritten_in_place(site: Path) -> None:
    """A plugin in development is seen although the folder around it has not changed."""
    listing = add_distribution(site, "x.egg-info", "other")
    settle(listing)
    settle(listing.parent)
    assert not any_plugin_installed()
    listing.write_text("[llm]\nx = y\n")
    assert any_plugin_installed()


def test_other_search_path_is_another_answer(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer for one list of folders is not taken for another."""
    settle(site)
    assert not any_plugin_installed()
    other = tmp_path / "other"
    other.mkdir()
    add_distribution(other, "llm_x-1.0.dist-info", "llm")
    monkeypatch.setattr(sys, "path", [str(site), str(other)])
    assert any_plugin_installed()


def test_recent_change_is_not_cached(site: Path, user_path: Path) -> None:
    """A folder that may still be changing is looked at again next time."""
    assert not any_plugin_installed()
    assert not (user_path / "cache").exists()


def test_folder_of_tomorrow_is_cached(site: Path, user_path: Path) -> None:
    """Where the clock was set back, a folder with a time ahead is no reason to look each time."""
    moment = time.time() + 86_400
    os.utime(site, (moment, moment))
    assert not any_plugin_installed()
    assert cache_file(user_path).exists()
    assert records.is_settled([records.stamp_of(str(site))])


@pytest.mark.parametrize("content", ["", "no", "maybe\nend", "no\nelsewhere\n\nend", "\xff"])
def test_broken_cache_is_ignored(site: Path, user_path: Path, content: str) -> None:
    """A cache file that is damaged or foreign costs nothing but a search."""
    settle(site)
    any_plugin_installed()
    cache_file(user_path).write_bytes(content.encode("latin-1"))
    assert not any_plugin_installed()


def test_cache_with_a_path_that_became_a_file(site: Path, user_path: Path) -> None:
    """A recorded path that cannot be looked up any more ends the cached answer."""
    settle(site)
    any_plugin_installed()
    path = cache_file(user_path)
    (user_path / "file").write_text("")
    lines = path.read_text().split("\n")
    path.write_text("\n".join([*lines[:-1], f"5 {user_path}/file/below", "end"]))
    assert not any_plugin_installed()


def test_user_directory_is_not_created(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is created for the sake of the cache alone."""
    settle(site)
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path / "absent"))
    assert not any_plugin_installed()
    assert not (tmp_path / "absent").exists()


def test_missing_folder_is_no_plugin(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder on the path that does not exist holds nothing."""
    monkeypatch.setattr(sys, "path", [str(site), str(tmp_path / "absent")])
    assert not any_plugin_installed()


def test_odd_things_count_as_yes(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A zip archive or an egg on the path is uncertain, so everything is loaded."""
    archive = tmp_path / "a.zip"
    archive.write_bytes(b"PK")
    for odd in (archive, tmp_path / "b.egg"):
        monkeypatch.setattr(sys, "path", [str(site), str(odd)])
        assert any_plugin_installed()


def test_unreadable_folder_counts_as_yes(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read is uncertain."""

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    assert any_plugin_installed()


def test_foreign_finder_counts_as_yes(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finder that brings distributions of its own is uncertain."""

    class Finder:
        def find_distributions(self, context: object) -> list[object]:
            return []

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert any_plugin_installed()


def test_newline_in_a_path_is_not_cached(
    tmp_path: Path, user_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that the file cannot hold is simply not remembered."""
    folder = tmp_path / "a\nb"
    folder.mkdir()
    settle(folder)
    monkeypatch.setattr(sys, "path", [str(folder)])
    assert not any_plugin_installed()
    assert not (user_path / "cache").exists()
