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


@pytest.mark.parametrize("text", ["", "a", "a b", "a\tb", "é", "\xa0", "~", " "], ids=repr)
def test_header_value(text: str) -> None:
    """Printable Latin-1, with spaces and tabs."""
    assert header_value(text) == text
