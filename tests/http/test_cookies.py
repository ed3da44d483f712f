"""Cookies: what is kept of an answer's, and to which address each goes (RFC 6265)."""

from __future__ import annotations

from lambda_remote_write.http.cookies import MAX_COOKIE_CHARACTERS, MAX_COOKIES, Cookies
from tests.rig.tables import table

HOST = "http://api.example.com/v1/login"
PAST, FAR = "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
KEPT = [  # RFC 6265, 5.1.3 to 5.4
    ("of the host", "a=1; Path=/", "http://api.example.com/", "a=1"),
    ("of the host alone", "a=1; Path=/", "http://x.api.example.com/", ""),
    ("of another port", "a=1; Path=/", "http://api.example.com:81/", "a=1"),
    ("of a domain", "a=1; Path=/; Domain=.Example.com", "http://other.example.com/", "a=1"),
    ("of the domain itself", "a=1; Path=/; Domain=example.com", "http://example.com/", "a=1"),
    ("of what ends alike", "a=1; Path=/; Domain=example.com", "http://badexample.com/", ""),
    ("of another domain", "a=1; Path=/; Domain=example.org", "http://example.org/", ""),
    ("of another domain, at home", "a=1; Path=/; Domain=example.org", "http://api.example.com/", ""),
    ("of a sibling", "a=1; Path=/; Domain=x.example.com", "http://api.example.com/", ""),
    ("of everything below com", "a=1; Path=/; Domain=com", "http://api.example.com/", ""),
    ("the default path", "a=1", "http://api.example.com/v1", "a=1"),
    ("below the default path", "a=1", "http://api.example.com/v1/a/b?x=/", "a=1"),
    ("beside the default path", "a=1", "http://api.example.com/v10", ""),
    ("a path with a slash", "a=1; path=/v2/", "http://api.example.com/v2/x", "a=1"),
    ("a path that is none", "a=1; Path=v2", "http://api.example.com/v1/x", "a=1"),
    ("secure over http", "a=1; Path=/; Secure", "http://api.example.com/", ""),
    ("secure over https", "a=1; Path=/; secure", "https://api.example.com/", "a=1"),
    ("ended by Max-Age", f"a=1; Path=/; Max-Age=0; Expires={FAR}", "http://api.example.com/", ""),
    ("kept by Max-Age", f"a=1; Path=/; Max-Age=60; Expires={PAST}", "http://api.example.com/", "a=1"),
    ("ended by Expires", "a=1; Path=/; Expires=Thu, 01-Jan-1970 00:00:10 GMT", "http://api.example.com/", ""),
    ("a date that is none", "a=1; Path=/; Expires=soon; Max-Age=x", "http://api.example.com/", "a=1"),
    ("a value with =", 'a="b=c=="; Path=/', "http://api.example.com/", 'a="b=c=="'),
    ("no value", "a; Path=/", "http://api.example.com/", ""),
    ("the longest", f"a={'x' * (MAX_COOKIE_CHARACTERS - 1)}; Path=/", "http://api.example.com/", f"a={'x' * 4095}"),
    ("one character more", f"a={'x' * MAX_COOKIE_CHARACTERS}; Path=/", "http://api.example.com/", ""),
]  # fmt: skip


@table("line, url, sent", KEPT)
def test_cookies_go_where_a_browser_sends_them(line: str, url: str, sent: str) -> None:
    cookies = Cookies()
    cookies.add([line], HOST)
    assert cookies.header(url) == sent


def test_cookies_are_replaced_ended_ordered_and_bounded() -> None:
    """RFC 6265, 5.3 and 5.4: those with longer paths come first."""
    cookies = Cookies()
    cookies.add(["a=1; Path=/", "b=2; Path=/v1", "c=3; Path=/"], HOST)
    cookies.add(["a=4; Path=/", "c=; Path=/; Max-Age=0", "d=5; Path=/v1/x"], HOST)
    assert cookies.header("http://api.example.com/v1/x") == "d=5; b=2; a=4"
    cookies.add([f"n{number}=1; Path=/" for number in range(MAX_COOKIES)], HOST)
    assert len(cookies.values) == MAX_COOKIES
    assert cookies.refused == [f"there are more than {MAX_COOKIES}"] * 3


def test_an_address_has_no_domain_above_it() -> None:
    cookies = Cookies()
    cookies.add(["a=1; Domain=0.0.1; Path=/", "b=2; Domain=127.0.0.1; Path=/"], "http://127.0.0.1:8080/login")
    assert cookies.header("http://127.0.0.1/") == "b=2"
    assert cookies.header("http://1.127.0.0.1/") == ""


def test_cookies_end_at_their_time() -> None:
    now = [1000.0]
    cookies = Cookies(lambda: now[0])
    assert not cookies.are_over
    cookies.add(["a=1; Path=/; Max-Age=60", "b=2; Path=/; Expires=Thu, 01 Jan 1970 00:18:00 GMT"], HOST)
    found = {}
    for now[0] in (1059, 1061, 1079, 1081):
        found[now[0]] = cookies.header("http://api.example.com/"), cookies.are_over
    assert found == {1059: ("a=1; b=2", False), 1061: ("b=2", False), 1079: ("b=2", False), 1081: ("", True)}
