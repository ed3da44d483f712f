"""Foreign text loses every secret in it, however the other program writes it, and keeps the rest."""

from __future__ import annotations

import base64
import html
import json
import sys
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lambda_remote_write.config.yaml_reader import shown_url
from lambda_remote_write.report.mask import MASKED, Mask, names_credential

SECRET = "pa$$ w/ord+ü<&'\"7f3a"
KEY = "k3y-9f8e7d6c5b4a"


def masked(text: str, *secrets: str) -> str:
    mask = Mask()
    mask.add(*secrets)
    return mask(text)


WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent-encoded": lambda text: quote(text, safe=""),
    "percent-encoded, slashes kept": quote,
    "form-encoded": quote_plus,
    "percent-encoded in lower case": lambda text: "".join(
        char if char.isalnum() and char.isascii() else "".join(f"%{byte:02x}" for byte in char.encode())
        for char in text
    ),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON as PHP writes it": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON as Go writes it": lambda text: json.dumps(text)[1:-1].replace("<", "\\u003c").replace("&", "\\u0026"),
    # System.Text.Json escapes what HTML does not take, and more, in upper case; ASP.NET's pages likewise.
    "JSON as .NET writes it": lambda text: text.replace(SECRET, r"pa$$ w/ord\u002B\u00FC\u003C\u0026\u0027\u00227f3a"),
    "HTML as .NET writes it": lambda text: text.replace(SECRET, "pa$$ w/ord&#x2B;&#xFC;&lt;&amp;&#x27;&quot;7f3a"),
    "HTML": html.escape,
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "percent-encoded in HTML": lambda text: html.escape(quote_plus(text)),
    "repr": lambda text: repr(text)[1:-1],
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
}


@pytest.mark.parametrize("secret", [SECRET, KEY], ids=["odd", "plain"])
@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN)
def test_written(write: Callable[[str], str], secret: str) -> None:
    """A secret is masked as it stands, and in every encoding in which programs repeat what they were sent."""
    detail = masked(f"key '{write(secret)}' is unknown", secret)
    assert detail.startswith("key '")
    assert detail.endswith("' is unknown")
    assert write(secret) not in detail
    assert detail.replace(MASKED, "") in ("key '' is unknown", "key '='' is unknown", "key '=' is unknown")


@pytest.mark.parametrize("user", ["", "u", "me", "you", "admin"])
def test_inside_base64(user: str) -> None:
    """`user:password` in base64 shows neither, wherever the password begins in it."""
    written = base64.b64encode(f"{user}:{KEY}".encode()).decode()
    shown = masked(f"Basic {written}", KEY).replace(MASKED, "")
    assert len(shown) < len("Basic ") + len(user) * 2 + 6


CUT = [KEY[:12], KEY[:8], f"'{KEY[:9]}", f"x={KEY[:10]} is bad"]


@pytest.mark.parametrize("text", CUT)
def test_cut(text: str) -> None:
    """The beginning of a secret is masked where a message was cut within it."""
    assert KEY[:8] not in masked(text, KEY)


SHORT = [
    ("k3y", "key=k3y&x", f"key={MASKED}&x"),
    ("k3y", "%22k3y%22", f"%22{MASKED}%22"),
    ("k3y", "pk3y and k3ys", "pk3y and k3ys"),
    ("token", "a token, tokens", f"a {MASKED}, tokens"),
    ("p", "p is a letter", "p is a letter"),
    ("", "nothing", "nothing"),
]


@pytest.mark.parametrize(("secret", "text", "expected"), SHORT)
def test_short(secret: str, text: str, expected: str) -> None:
    """A secret shorter than eight characters is masked as a word only, and one character never: else every message
    with that letter would be unreadable."""
    assert masked(text, secret) == expected


REST = [
    ("http://user:hunter2-hunter2@proxy:3128", "http://users.example.com said hunter2-hunter2", "hunter2-hunter2"),
    ("Bearer tok-12345678", "Bearer token is missing; tok-12345678", "tok-12345678"),
    ("-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n-----END KEY-----\n", "x MIIEvQIBADANBgkqhkiG9w0B y", "MIIEvQ"),
]


@pytest.mark.parametrize(("secret", "text", "hidden"), REST)
def test_parts(secret: str, text: str, hidden: str) -> None:
    """Of an address its password is masked, of several lines each, of a scheme and a token the token."""
    detail = masked(text, secret)
    assert hidden not in detail
    assert detail == text.replace(text[text.index(hidden) :].split()[0], MASKED)


def test_request_and_cookies() -> None:
    """What a query, a body and cookies hold under names of credentials is masked, other fields stay."""
    mask = Mask()
    mask.add_request("http://h/?units=metric&appid=aaaaaaaa1", b'{"user": {"password": "bbbbbbbb2"}, "q": "metric"}')
    mask.add_request("http://h/", b"grant=metric&client_secret=cccccccc3")
    mask.add_cookies("sid=dddddddd4; Path=/; HttpOnly, theme=eeeeeeee5; Expires=Wed, 21 Oct 2026 07:28:00 GMT")
    mask.add_header("Cookie", "a=ffffffff6; b=gggggggg7")
    mask.add_header("Accept", "application/json")
    text = "metric aaaaaaaa1 bbbbbbbb2 cccccccc3 dddddddd4 eeeeeeee5 ffffffff6 gggggggg7 application/json"
    assert mask(text) == f"metric{f' {MASKED}' * 7} application/json"


def test_it_forgets_the_oldest_cookies() -> None:
    """A process that lives for months holds a bounded number of them."""
    mask = Mask()
    for number in range(1_000):
        mask.add_cookies(f"sid=cookie-{number:06}")
    assert mask("cookie-000999") == MASKED
    assert mask("cookie-000001") == "cookie-000001"


def test_what_is_a_secret_and_a_cookie_stays_one_when_the_cookie_is_forgotten() -> None:
    mask = Mask()
    mask.add(KEY)
    mask.add_passing(KEY, *(f"cookie-value-{number}" for number in range(300)))
    assert mask(f"{KEY} cookie-value-299") == f"{MASKED} {MASKED}"
    mask.add_passing(*(f"other-value-{number}" for number in range(300)))
    assert mask(f"{KEY} cookie-value-299") == f"{MASKED} cookie-value-299"


@given(st.lists(st.text("ab1/ ", min_size=2, max_size=12), min_size=1, max_size=4), st.text("ab1/ %2F", max_size=40))
@example(["ab1/ab1/ab"], "x ab1/ab1/a")
def test_a_long_text_loses_what_a_short_one_does(secrets: list[str], text: str) -> None:
    behind = " " * 20_001
    assert masked(text + behind, *secrets) == masked(text, *secrets) + behind


def test_a_message_takes_no_longer_with_many_secrets() -> None:
    """A hundred APIs that refuse their keys at once must not take the time that the run has left."""
    text = "api.example.com answered 403: the key is unknown here. " * 9
    one, many = Mask(), Mask()
    one.add(KEY)
    many.add(*(f"{number * 7919}-{KEY}" for number in range(500)))
    assert calls_of(many, text) < 3 * calls_of(one, text)


def calls_of(mask: Mask, text: str) -> int:
    """How many functions a message takes, once the forms of all secrets are made."""
    assert mask(text) == text
    seen: list[str] = []
    sys.setprofile(lambda _frame, event, _argument: seen.append(event))
    try:
        mask(text)
    finally:
        sys.setprofile(None)
    return sum(event in ("call", "c_call") for event in seen)


# White space around a secret is not part of what is sent, so it does not make a short secret a long one.
LONG_SECRETS = st.text(min_size=8, max_size=40).filter(lambda text: len(text.strip()) >= 8 and "://" not in text)


@given(LONG_SECRETS, st.text(max_size=20), st.text(max_size=20))
@example(" 00000000", "", "0")
@example("00000000\n", "0", "0")
def test_never_shown(secret: str, before: str, after: str) -> None:
    """Any secret of eight characters or more is masked in any surroundings; masking twice is masking once."""
    detail = masked(f"{before}{secret}{after}", secret)
    assert secret.strip() not in detail or secret.strip() in MASKED
    assert masked(detail, secret).count(MASKED) >= detail.count(MASKED)


NAMES = {
    True: ["appid", "api_key", "apiKey", "X-Api-Key", "key", "access_token", "accessToken", "sig", "PASSWORD", "pw"],
    False: ["q", "units", "author", "monkey", "page", "keyword", "design", "tokens_per_page_x", "cursor"],
}


@pytest.mark.parametrize(("name", "expected"), [(name, is_one) for is_one, names in NAMES.items() for name in names])
def test_names(name: str, expected: bool) -> None:
    assert names_credential(name) is expected


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:secret@h:1/a/b?k=secret#secret", "https://h:1/a/b"),
        ("http://h/metrics%3Fk=secret", "http://h/metrics"),  # of metrics_path: /metrics?k=secret
        ("http://h/metrics%3fk=secret", "http://h/metrics"),
        ("http://h/metrics%23secret", "http://h/metrics"),
        ("http://h/a%20b%2Fc", "http://h/a%20b%2Fc"),
        ("http://u:se/cret@h/", "(a URL)"),
    ],
)
def test_what_is_shown_of_a_url(url: str, shown: str) -> None:
    assert shown_url(url) == shown
