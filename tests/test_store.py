"""A folder as a store: what the spool may rely on is the same there as in S3."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lambda_remote_write.store import Changed, DirectoryStore, NotStored, StoreError

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


def test_keys_come_in_the_order_of_their_bytes(store: DirectoryStore) -> None:
    """Capital letters come before small ones, and both before what is not ASCII, also across folders."""
    keys = ["a b", "a-b", "a.b", "a/b", "a0", "B", "Z/z", "z", "é", "日/本", "\uffee", "😀"]
    for key in reversed(keys):
        store.put(key, b"", SOON)
    assert store.list("", SOON) == sorted(keys, key=str.encode)


@pytest.mark.parametrize(
    "key",
    ["..", ".", "...", "%", "%2F", "%2E%2E", "a+b", " ", "a\\b", "*?[x]", "~", "\n", "日本", "x" * 200, "-rf"],
    ids=repr,
)
@pytest.mark.parametrize("place", ["{}", "p/{}", "{}/p", "p/{}/q"])
def test_a_hostile_part_is_listed_as_it_was_given(store: DirectoryStore, tmp_path: Path, place: str, key: str) -> None:
    """Whatever stands between two slashes comes back from a listing, and from one that begins with it."""
    full = place.format(key)
    store.put(full, b"x", SOON)
    assert store.list("", SOON) == store.list(full, SOON) == [full]
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    if "/" in full:
        folder = full.partition("/")[0] + "/"
        assert store.folders("", SOON) == [folder]
        assert store.list(folder, SOON) == [full]


@pytest.mark.parametrize(("one", "other"), [("%2F", "/"), ("..", "%2E%2E"), ("a b", "a%20b"), (".", "%2E"), ("a", "A")])
def test_keys_that_look_alike_do_not_meet(store: DirectoryStore, one: str, other: str) -> None:
    """Two keys are two objects."""
    store.put(f"k{one}k/{one}x", b"1", SOON)
    store.put(f"k{other}k/{other}x", b"2", SOON)
    assert [read(store, f"k{part}k/{part}x") for part in (one, other)] == [b"1", b"2"]


def read(store: DirectoryStore, key: str) -> bytes:
    found = store.get(key, SOON)
    assert found is not None
    return found.content


def test_a_listing_has_the_first_keys_and_no_more(store: DirectoryStore) -> None:
    """Without another number it ends after a thousand, as S3's does."""
    store.put("k/0000", b"", SOON)
    folder = Path(store.place) / "k"
    for number in range(1, 1_003):
        (folder / f"{number:04d}").touch()  # as put leaves them, without so many waits for the disk
    first = [f"k/{number:04d}" for number in range(1_000)]
    assert store.list("k/", SOON) == first
    assert {most: store.list("k/", SOON, most) for most in (0, 1, 999)} == {most: first[:most] for most in (0, 1, 999)}


@pytest.mark.parametrize("key", ["nothing", "no/such/folder", "there/nothing", "there/is/below"])
@pytest.mark.parametrize("etag", ["", '"other"'])
def test_what_is_missing_is_said_to_be(store: DirectoryStore, key: str, etag: str) -> None:
    """NotStored names the key, is a StoreError, and comes whatever ETag is asked for."""
    store.put("there/is", b"", SOON)
    with pytest.raises(NotStored, match=key) as caught:
        store.get(key, SOON, etag)
    assert isinstance(caught.value, StoreError)


def test_a_condition_on_what_is_missing_does_not_hold(store: DirectoryStore) -> None:
    """An object that is gone is not the one that was expected, and is not made anew."""
    etag = store.put("k", b"one", SOON)
    assert store.delete("k", SOON, etag)
    with pytest.raises(Changed):
        store.put("k", b"two", SOON, etag)
    assert not store.delete("k", SOON, etag)
    assert store.list("", SOON) == []
    store.put("k", b"three", SOON, "")
    assert read(store, "k") == b"three"


@pytest.mark.parametrize("place", ["kept", "kept/below"])
@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda store: store.get("k", SOON), id="get"),
        pytest.param(lambda store: store.put("k", b"", SOON), id="put"),
        pytest.param(lambda store: store.put("a/k", b"", SOON, ""), id="put with a condition"),
        pytest.param(lambda store: store.list("a/", SOON), id="list a folder"),
        pytest.param(lambda store: store.list("a", SOON), id="list a beginning"),
        pytest.param(lambda store: store.folders("a/", SOON), id="folders"),
        pytest.param(lambda store: store.delete("k", SOON), id="delete"),
    ],
)
def test_a_file_in_the_place_of_the_folder_is_named(
    tmp_path: Path, place: str, act: Callable[[DirectoryStore], object]
) -> None:
    """Every operation raises StoreError with the place, and leaves the file alone."""
    (tmp_path / "kept").write_text("in the way")
    store = DirectoryStore(tmp_path / place)
    with pytest.raises(StoreError, match=str(tmp_path / "kept")):
        act(store)
    assert store.place == str(tmp_path / place)
    assert (tmp_path / "kept").read_text() == "in the way"


def _count(folder: str, times: int) -> None:
    store = DirectoryStore(folder)
    for _ in range(times):
        while True:
            found = store.get("n", SOON)
            assert found is not None
            try:
                store.put("n", b"%d" % (int(found.content) + 1), SOON, found.etag)
                break
            except Changed:
                continue


def test_no_write_of_two_processes_is_lost(tmp_path: Path) -> None:
    """Two that read, add one and write with the ETag they have read count together."""
    store, context = DirectoryStore(tmp_path), multiprocessing.get_context("fork")
    store.put("n", b"0", SOON)
    counters = [context.Process(target=_count, args=(str(tmp_path), 25)) for _ in range(2)]
    for counter in counters:
        counter.start()
    for counter in counters:
        counter.join(60)
    assert [counter.exitcode for counter in counters] == [0, 0]
    assert read(store, "n") == b"50"


def _alternate(folder: str, contents: list[bytes], times: int) -> None:
    store = DirectoryStore(folder)
    for number in range(times):
        store.put("a/k", contents[number % len(contents)], SOON)


def test_a_reader_sees_whole_objects_only(tmp_path: Path) -> None:
    """While another process writes, an object is the old one or the new one, and listings have no other key."""
    contents = [b"x" * 400_000, b"y" * 700_000]
    store = DirectoryStore(tmp_path)
    store.put("a/k", contents[0], SOON)
    writer = multiprocessing.get_context("fork").Process(target=_alternate, args=(str(tmp_path), contents, 60))
    writer.start()
    seen = set()
    while writer.is_alive():
        seen.add(read(store, "a/k"))
        assert store.list("", SOON) == ["a/k"]
        assert store.folders("", SOON) == ["a/"]
    writer.join()
    assert writer.exitcode == 0
    assert seen <= set(contents)


# --- What killed processes leave --------------------------------------------------------------------------------------

DAY = 86_400


def _die_writing(folder: str) -> None:
    """The kernel kills the process within its write."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
    DirectoryStore(folder).put("spool/a/0/2", b"x" * 5_000, SOON)


@pytest.fixture
def orphan(store: DirectoryStore) -> Path:
    """A file that a killed process has left beside an object."""
    store.put("spool/a/0/1", b"whole", SOON)
    writer = multiprocessing.get_context("fork").Process(target=_die_writing, args=(store.place,))
    writer.start()
    writer.join(20)
    assert writer.exitcode == -signal.SIGXFSZ
    (left,) = (Path(store.place) / "spool/a/0").glob(".*")
    assert left.stat().st_size == 1_000
    return left


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.mark.parametrize(("seconds", "stays"), [(DAY, False), (1_800, True), (-DAY, True)], ids=["old", "new", "ahead"])
def test_what_a_killed_process_left_goes_when_it_is_old(
    store: DirectoryStore, orphan: Path, seconds: float, *, stays: bool
) -> None:
    """The next process that writes removes it, wherever it lies. A young one may be another machine's, which writes."""
    age(orphan, seconds)
    DirectoryStore(store.place).put("state/0", b"", SOON)
    assert orphan.exists() is stays
    assert store.list("", SOON) == ["spool/a/0/1", "state/0"]
    assert read(store, "spool/a/0/1") == b"whole"


def test_a_process_looks_for_leavings_once(store: DirectoryStore, orphan: Path) -> None:
    """At its first write: a folder is not walked through for each."""
    age(orphan, DAY)
    store.put("state/0", b"", SOON)  # not its first
    assert orphan.exists()


@pytest.mark.parametrize("key", ["a", "a.0123abcd", "a/.b/c", "spool/a/0/1", "ü.0123abcd", ".hidden/x.0123abcd"])
def test_objects_are_no_leavings(store: DirectoryStore, key: str) -> None:
    store.put(key, b"old", SOON)
    for path in Path(store.place).rglob("*"):
        age(path, DAY)
    DirectoryStore(store.place).put("state/0", b"", SOON)
    assert read(store, key) == b"old"


def test_leavings_that_cannot_be_removed_do_not_stop_a_write(store: DirectoryStore, orphan: Path) -> None:
    age(orphan, DAY)
    orphan.unlink()
    orphan.mkdir()  # a folder by that name
    age(orphan, DAY)
    DirectoryStore(store.place).put("state/0", b"new", SOON)
    assert read(store, "state/0") == b"new"
