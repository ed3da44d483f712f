"""Patterns of file names as Go's filepath.Match and filepath.Glob have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambda_remote_write.config import go_glob

PATTERNS = {  # -> what is found; `*` takes a leading dot and no slash, and `**` is nothing of its own
    "*.json": [".b.json", "a.json", "axbx.json", "u1.json", "u22.json"],
    "u?.json": ["u1.json"],
    "a*b*.json": ["axbx.json"],
    "d?/a.json": ["d1/a.json"],
    "**/a.json": ["d1/a.json"],
    "[!a].json": ["a.json"],
    "[^a]*.json": [".b.json", "u1.json", "u22.json"],
    "[a-c].json": ["a.json"],
    "[c-a].json": [],
    r"\a.json": ["a.json"],
    "a.json": ["a.json"],
    "none.json": [],
    "none/*.json": [],
}


def test_what_is_found(tmp_path: Path) -> None:
    for name in ("a.json", ".b.json", "u1.json", "u22.json", "axbx.json", "d1/a.json", "d1/e/a.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("[]", encoding="utf-8")
    found = {pattern: go_glob.find(f"{tmp_path}/{pattern}") for pattern in PATTERNS}
    assert found == {pattern: [f"{tmp_path}/{name}" for name in names] for pattern, names in PATTERNS.items()}


MATCHES = [  # (pattern, name, whether it matches), from path/filepath's own match_test.go
    ("abc", "abc", True),
    ("*", "abc", True),
    ("*c", "abc", True),
    ("a*", "ab/c", False),
    ("a*/b", "a/c/b", False),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/f", True),
    ("a*b?c*x", "abxbbxdbxebxczzx", True),
    ("a*b?c*x", "abxbbxdbxebxczzy", False),
    ("ab[c]", "abc", True),
    ("ab[b-d]", "abc", True),
    ("ab[e-g]", "abc", False),
    ("ab[^c]", "abc", False),
    ("ab[^e-g]", "abc", True),
    ("a\\*b", "a*b", True),
    ("a\\*b", "ab", False),
    ("a?b", "a☺b", True),
    ("a[^a]b", "a☺b", True),
    ("a???b", "a☺b", False),
    ("[a-ζ]*", "α", True),
    ("*[a-ζ]", "A", False),
    ("a?b", "a/b", False),
    ("a*b", "a/b", False),
    ("[\\]a]", "]", True),
    ("[\\-]", "-", True),
    ("[x\\-]", "x", True),
    ("[\\-x]", "a", False),
    ("*x", "xxx", True),
]


@pytest.mark.parametrize(("pattern", "name", "matches"), MATCHES, ids=[f"{row[0]} {row[1]}" for row in MATCHES])
def test_matches(pattern: str, name: str, matches: bool) -> None:
    assert bool(go_glob.compiled(pattern).fullmatch(name)) is matches


@pytest.mark.parametrize(
    "pattern", ["a[.json", "[]a]", "[-]", "[x-]", "[-x]", "a\\", "[a-b-c]", "[", "[^", "[^bc", "[a-]", "[^]"]
)
def test_bad_patterns(pattern: str) -> None:
    """Where filepath.Match answers with ErrBadPattern (match_test.go)."""
    with pytest.raises(ValueError, match=r"."):
        go_glob.compiled(pattern)
