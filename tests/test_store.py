"""A folder as a store: what the spool may rely on is the same there as in S3."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from pusher.store import Changed, DirectoryStore, NotStored, StoreError

SOON = 1e12  # a folder needs no deadline


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "kept")


@pytest.mark.parametrize(
    "key",
    [
        "a",
        "spool/amp/0/0000000000001-x",
        "a/../b",
        "a/./b",
        "..",
        "a%2Fb/c%25",
        "ü/日本",
        "a b/c+d",
        ".hidden/x",
        "x" * 200,
    ],
)
def test_an_object_comes_back_under_its_key_whatever_it_is(store: DirectoryStore, tmp_path: Path, key: str) -> None:
    etag = store.put(key, b"one", SOON)
    found = store.get(key, SOON)
    assert found is not None
    assert (found.content, found.etag) == (b"one", etag)
    assert store.get(key, SOON, etag) is None
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]  # nothing escapes the folder
    assert store.delete(key, SOON)
    assert not store.delete(key, SOON)
    with pytest.raises(NotStored):
        store.get(key, SOON)


def test_listings_are_in_order_and_bounded(store: DirectoryStore) -> None:
    for number in (3, 1, 2):
        store.put(f"spool/a/0/{number}", b"", SOON)
    store.put("spool/b/0/9", b"", SOON)
    store.put("dead/a/0/1", b"", SOON)
    assert store.list("spool/", SOON) == ["spool/a/0/1", "spool/a/0/2", "spool/a/0/3", "spool/b/0/9"]
    assert store.list("spool/a/0/", SOON, 2) == ["spool/a/0/1", "spool/a/0/2"]
    assert store.list("spool/a/0/2", SOON) == ["spool/a/0/2"]
    assert store.list("nothing/", SOON) == []
    assert store.folders("spool/", SOON) == ["a/", "b/"]
    assert store.folders("nothing/", SOON) == []


@pytest.mark.parametrize(
    ("expected", "is_written"),
    [
        pytest.param(None, True, id="whatever is there"),
        pytest.param("", False, id="nothing expected"),
        pytest.param("right", True, id="the right one"),
        pytest.param('"other"', False, id="another one"),
    ],
)
def test_a_condition_is_kept(store: DirectoryStore, expected: str | None, is_written: bool) -> None:
    etag = store.put("k", b"one", SOON, "")
    expected = etag if expected == "right" else expected
    if is_written:
        store.put("k", b"two", SOON, expected)
    else:
        with pytest.raises(Changed):
            store.put("k", b"two", SOON, expected)
    found = store.get("k", SOON)
    assert found is not None
    assert found.content == (b"two" if is_written else b"one")
    assert not store.delete("k", SOON, '"other"')
    assert store.delete("k", SOON, found.etag)


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = DirectoryStore(tmp_path / "file" / "kept")
    with pytest.raises(StoreError, match="file/kept"):
        store.put("k", b"", SOON)
    with pytest.raises(StoreError, match="cannot be listed"):
        store.list("spool/", SOON)


def _race(folder: str, number: int, results: multiprocessing.Queue[int]) -> None:
    try:
        DirectoryStore(folder).put("k", b"%d" % number, SOON, "")
        results.put(number)
    except Changed:
        results.put(-1)


def test_of_several_processes_one_wins(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[int] = context.Queue()
    racers = [context.Process(target=_race, args=(str(tmp_path), number, results)) for number in range(8)]
    for racer in racers:
        racer.start()
    found = [results.get(timeout=20) for _ in racers]
    for racer in racers:
        racer.join()
    (winner,) = [number for number in found if number >= 0]
    stored = DirectoryStore(tmp_path).get("k", SOON)
    assert stored is not None
    assert stored.content == b"%d" % winner


def test_what_is_being_written_is_not_there_yet(store: DirectoryStore, tmp_path: Path) -> None:
    store.put("spool/a/0/1", b"whole", SOON)
    (tmp_path / "kept/spool/a/0/.1.0123").write_bytes(b"hal")  # as a killed process leaves it
    assert store.list("spool/", SOON) == ["spool/a/0/1"]
    assert os.path.exists(tmp_path / "kept/spool/a/0/1")
