"""What the HTTP client keys take one by one: URLs, header values, proxies."""

from __future__ import annotations

import pytest

from lambda_remote_write.config.http_client import header_value, url

URLS = [
    *(
        "http://h",
        "https://api.example.com/usage",
        "http://10.0.0.1:8080/",
        "http://[::1]:9090/",
        "https://h/?a=b&c=d#e",
    ),
    *("https://api.example.com/users/@me", "https://api.example.com/?mail=a@b.org", "HTTPS://h/", "https://h:443"),
]


@pytest.mark.parametrize("text", URLS)
def test_url(text: str) -> None:
    """An absolute address is taken as written."""
    assert url(text) == text


NO_URLS = [
    *("", "h", "//h/", "/usage", "ftp://h/", "file:///etc/passwd", "http://", "http:///a", "https:h", "http://h:0x50/"),
    *(
        "http://h:99999/",
        "http://h h/",
        "http://h/a b",
        "http://h/\n",
        "http://h/\x00",
        "http://[::1",
        "mailto:a@b.org",
    ),
    *("http://a@h/", "http://a:b@h/", "http://:b@h/", "http://a:b/c@h/"),
]


@pytest.mark.parametrize("text", NO_URLS, ids=repr)
def test_no_url(text: str) -> None:
    """What is relative, of another scheme, or holds a user is refused."""
    with pytest.raises(ValueError, match=r"is not an absolute http:// or https:// URL$|holds no user and password"):
        url(text)


@pytest.mark.parametrize("text", ["", "a", "a b", "a\tb", "é", "\xa0", "~", " "], ids=repr)
def test_header_value(text: str) -> None:
    """Printable Latin-1, with spaces and tabs."""
    assert header_value(text) == text


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "\x00", "\x1f", "\x7f", "\x85", "\u0100", "☃", "\u2028"], ids=repr)
def test_no_header_value(text: str) -> None:
    """No line break, no control character, nothing that Latin-1 does not have."""
    with pytest.raises(ValueError, match="a header value holds no line break"):
        header_value(text)
