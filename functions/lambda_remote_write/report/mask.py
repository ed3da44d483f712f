"""Keeps secrets out of messages that quote what other programs say: an API may well repeat the key that it was sent.

A Mask knows every secret, token and cookie of this process that went out or came in, as it is and as it looks in URLs,
JSON, HTML, base64 and so on. Every message that holds foreign text passes it first.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

MASKED = "<secret>"
_MIN_ANYWHERE = 8
"""A secret of so many characters is masked wherever it stands, and also its beginning where a message was cut. A
shorter one is masked as a word of its own only: it may be part of many an honest word. A single character never is."""
_MAX_SECRETS, _MAX_PASSING = 1_000, 200  # tokens and cookies change for as long as the process lives
_READ_ONCE = 20_000  # characters of a text that is read once; of a longer one each head is looked for
_MIN_LINE = 16  # characters of one line of a longer secret, as a PEM key
_CREDENTIAL_WORDS = frozenset(
    ("key", "apikey", "appid", "appkey", "accesskey", "token", "secret", "password", "passwd", "passphrase", "pwd",
     "pw", "pass", "auth", "authorization", "credential", "credentials", "signature", "sig", "session", "sessionid",
     "sid", "jwt", "assertion", "cookie", "pin")
)  # fmt: skip
_PUBLIC_HEADERS = re.compile(
    r"accept(-.+)?|content-.+|user-agent|cache-control|pragma|origin|referer|prefer|range|date|from|te|if-.+|"
    r"x-requested-with|x-scope-orgid|x-prometheus-.+|x-amz-target|.+-version",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_WORD_BEFORE, _WORD_AFTER = re.compile(r"(?<!%[0-9A-Fa-f])[A-Za-z0-9]\Z"), re.compile(r"[A-Za-z0-9]")


def names_credential(name: str) -> bool:
    """Whether a query parameter or field of this name likely holds a credential: `appid`, `api_key`, `accessToken`."""
    words = [word.lower() for word in _WORDS.findall(name)]
    pairs = map("".join, itertools.pairwise(words))
    return not _CREDENTIAL_WORDS.isdisjoint([*words, *pairs, name.lower()])


def is_public_header(name: str) -> bool:
    """A header whose value is no secret, even where it stands beside secrets."""
    return _PUBLIC_HEADERS.fullmatch(name) is not None


def printable(text: str) -> str:
    """One line: what does not print is written as an escape."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


class Mask:
    """The secrets of one process. Safe for several threads."""

    def __init__(self) -> None:
        self._secrets: dict[str, set[str]] = {}  # -> the forms that are looked for; none before they were needed
        self._passing: dict[str, set[str]] = {}
        self._added: list[tuple[dict[str, set[str]], str]] = []  # whose forms are not made yet
        self._forms = _Forms()
        self._lock = threading.Lock()

    def add(self, *secrets: str) -> None:
        """From now on these are masked. One that was added before costs nothing."""
        self._add(self._secrets, secrets, _MAX_SECRETS)

    def add_header(self, name: str, value: str) -> None:
        """The value of a header that goes out, unless its name says that it is no secret."""
        if name.lower() == "cookie":
            self.add(*_cookie_values(value))
        elif not is_public_header(name):
            self.add(value)

    def add_cookies(self, set_cookie: str) -> None:
        """The values of an answer's `Set-Cookie` headers, joined by commas or not."""
        self.add_passing(*_cookie_values(set_cookie))

    def add_passing(self, *secrets: str) -> None:
        """What comes or goes once, as the response to a challenge: the newest of these are masked."""
        self._add(self._passing, secrets, _MAX_PASSING)

    def add_request(self, url: str, body: bytes | None = None) -> None:
        """What stands in an address and in a body of JSON or form fields under names as `token` or `apiKey`."""
        fields = [*_form_fields(urlsplit(url).query), *(_body_fields(body) if body else ())]
        self.add(*(value for name, value in fields if names_credential(name)))

    def __call__(self, text: str) -> str:
        """The text with every secret in it replaced."""
        with self._lock:
            for held, secret in self._added:
                if secret in held and not held[secret]:
                    held[secret] = _forms(secret)
                    self._forms.add(held[secret])
            self._added.clear()
        return _covered(text, list(self._forms.spans(text)))

    def quoted(self, text: str, limit: int) -> str:
        """Foreign text for a message: without secrets, on one printable line, of at most `limit` characters."""
        return cut(printable(" ".join(self(text).split())), limit)

    def _add(self, held: dict[str, set[str]], secrets: Iterable[str], maximum: int) -> None:
        for secret in secrets:
            if secret in held:
                continue
            with self._lock:
                held[secret] = set()
                self._added.append((held, secret))
                while len(held) > maximum:
                    self._forms.remove(held.pop(next(iter(held))))


class _Forms:
    """What is looked for, by its first characters: a message is read once, however many secrets there are."""

    def __init__(self) -> None:
        self._by_head: dict[str, Counter[str]] = {}
        self._sizes: Counter[int] = Counter()  # of the heads

    def add(self, forms: Iterable[str]) -> None:
        for form in forms:
            head = form[:_MIN_ANYWHERE]
            if head not in self._by_head:
                self._by_head[head] = Counter()
                self._sizes[len(head)] += 1
            self._by_head[head][form] += 1

    def remove(self, forms: Iterable[str]) -> None:
        for form in forms:
            head = form[:_MIN_ANYWHERE]
            found = self._by_head[head]
            found[form] -= 1
            if not found[form]:
                del found[form]
            if not found:
                del self._by_head[head]
                self._sizes[len(head)] -= 1

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where one of them stands in the text."""
        for at, head in self._heads_of(text) if len(text) <= _READ_ONCE else self._heads_in(text):
            for form in tuple(self._by_head.get(head, ())):
                if end := _end(text, form, at):
                    yield at, end

    def _heads_of(self, text: str) -> Iterator[tuple[int, str]]:
        for size in [size for size, count in tuple(self._sizes.items()) if count]:
            for at in range(len(text) - size + 1):
                if text[at : at + size] in self._by_head:
                    yield at, text[at : at + size]

    def _heads_in(self, text: str) -> Iterator[tuple[int, str]]:
        """The same, quicker for a long text and few secrets."""
        for head in tuple(self._by_head):
            at = text.find(head)
            while at >= 0:
                yield at, head
                at = text.find(head, at + 1)


def _cookie_values(header: str) -> Iterator[str]:
    """Values of `name=value` pairs; attributes of a cookie, as its path and dates, are too short or harmless."""
    for pair in re.split(r"[;,]", header):
        name, equals, value = pair.strip().partition("=")
        if equals and name.lower() not in ("path", "domain", "expires", "max-age", "samesite", "version", "priority"):
            yield value.strip('" ')


def _body_fields(body: bytes) -> Iterator[tuple[str, str]]:
    text = body[:100_000].decode("utf-8", "replace")
    try:
        yield from _texts_of(json.loads(text))
    except (ValueError, RecursionError):
        yield from _form_fields(text)


def _form_fields(text: str) -> list[tuple[str, str]]:
    """Names and values of a query, as they are meant and as they are written."""
    written = (part.partition("=") for part in text.split("&"))
    return [*parse_qsl(text), *((unquote(name), value) for name, _, value in written)]


def _texts_of(value: object, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """The texts of a JSON document with the name of the member that they are."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict) and depth < 20:
        for key, item in value.items():
            yield from _texts_of(item, key, depth + 1)
    elif isinstance(value, list) and depth < 20:
        for item in value:
            yield from _texts_of(item, name, depth + 1)


def _parts(secret: str) -> Iterator[str]:
    """What of a secret is to be masked: of an address its password, of several lines each, of two words each."""
    if "://" in secret:
        yield from _parts_of_url(secret)
        return
    lines = secret.split("\n")
    if len(lines) > 1:
        yield from (line.strip() for line in lines if len(line.strip()) >= _MIN_LINE and "-----" not in line)
    yield secret.strip()
    scheme, _, token = secret.strip().partition(" ")
    if scheme and len(token) >= _MIN_ANYWHERE and " " not in token:  # "Bearer …"
        yield token


def _parts_of_url(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        yield url
        return
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    if password:
        plain = unquote(user), unquote(password)
        yield from (password, plain[1], base64.b64encode(":".join(plain).encode()).decode())
    yield from (value for name, value in parse_qsl(parts.query) if names_credential(name))


def _forms(secret: str) -> set[str]:
    """A secret as it may look in a message."""
    found: set[str] = set()
    for part in _parts(secret):
        once = {encode(text) for text in (part, " ".join(part.split())) for encode in _ENCODERS}
        found |= once | {encode(text) for text in once for encode in _ENCODERS}
        in_bodies = {part, json.dumps(part)[1:-1], quote_plus(part, errors="replace")}
        found |= {part.encode("utf-8", "replace").hex(), *(form for text in in_bodies for form in _base64_forms(text))}
        if len(part) >= _MIN_ANYWHERE:
            found |= {part.lower(), part.upper()}
    return {form for form in found if len(form) > 1}


def _all_percent(text: str) -> str:
    """Everything but letters and digits percent-encoded."""
    return "".join(
        char
        if char.isascii() and char.isalnum()
        else "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "replace"))
        for char in text
    )


def _lower_percent(encode: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), encode(text))


def _percent(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _html(text: str) -> str:
    import html  # its table of entities is large, and only a message that is masked needs it

    return html.escape(text)


def _escaped_like_go(text: str) -> str:
    return json.dumps(text)[1:-1].replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _escaped_like_dotnet(text: str) -> str:
    escaped = re.sub(r"\\u[0-9a-f]{4}", lambda code: f"\\u{code[0][2:].upper()}", json.dumps(text)[1:-1])
    return re.sub(r"[&'+<>`]", lambda char: f"\\u{ord(char[0]):04X}", escaped.replace('\\"', "\\u0022"))


def _html_like_dotnet(text: str) -> str:
    return re.sub(r"\+|[^\x00-\x7f]", lambda char: f"&#x{ord(char[0]):X};", _html(text))


_ENCODERS: tuple[Callable[[str], str], ...] = (
    lambda text: text,
    _percent,
    lambda text: quote(text, errors="replace"),
    lambda text: quote(text, safe="!~*'()", errors="replace"),  # JavaScript's
    lambda text: quote_plus(text, errors="replace"),
    _all_percent,
    _lower_percent(_percent),
    _lower_percent(_all_percent),
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1].replace("/", "\\/"),
    lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    _escaped_like_go,
    _escaped_like_dotnet,
    _html,
    _html_like_dotnet,
    lambda text: _html(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    lambda text: repr(text)[1:-1],
    printable,
)


def _base64_forms(secret: str) -> Iterator[str]:
    """The secret in base64, by itself and inside a longer text: there it begins at any of three places."""
    data = secret.encode("utf-8", "replace")
    alone = base64.b64encode(data).decode()
    yield from (alone, alone.rstrip("="))
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + data).decode().rstrip("=")
        inner = text[(0, 2, 3)[shift] : len(text) - ((shift + len(data)) % 3 > 0)]
        if len(inner) >= _MIN_ANYWHERE:
            yield from (inner, inner.translate(str.maketrans("+/", "-_")))


def _end(text: str, form: str, at: int) -> int:
    """Where a form ends whose head stands there, or where it was cut; 0 for an honest word."""
    end = at + min(len(form), _MIN_ANYWHERE)
    while end < len(text) and end - at < len(form) and text[end] == form[end - at]:
        end += 1
    is_whole, is_word_behind = end - at == len(form), _WORD_AFTER.match(text, end) is not None
    if len(form) < _MIN_ANYWHERE:
        is_masked = not is_word_behind and not _WORD_BEFORE.search(text, 0, at)
    else:
        is_masked = is_whole or not is_word_behind
    return end if is_masked and text[max(at - 1, 0) : end + 1] != MASKED else 0


def _covered(text: str, spans: list[tuple[int, int]]) -> str:
    pieces: list[str] = []
    last = 0
    for start, end in sorted(spans):
        if start >= last:
            pieces += [text[last:start], "" if pieces and start == last else MASKED]
        last = max(last, end)
    return "".join([*pieces, text[last:]])
