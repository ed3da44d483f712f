"""The world of a golden test: HTTP answers from the record, placeholders for secrets, no AWS and no environment."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NoReturn
from urllib.parse import unquote, unquote_plus, urlsplit, urlunsplit

from lambda_remote_write.aws.s3 import S3
from lambda_remote_write.config.schema import SigV4
from lambda_remote_write.config.secrets import Secret, SecretStore
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.http import Answer as HttpAnswer
from lambda_remote_write.http import ConnectionOptions, HttpRequest, Transport, TransportError
from lambda_remote_write.http.authentication import Refusal
from lambda_remote_write.http.fetch import Fetcher
from lambda_remote_write.http.response import CHUNK_BYTES, Headers
from lambda_remote_write.report.mask import MASKED, Mask, names_credential

from .file import Answer

NOT_RECORDED = "is not recorded"
WORKSPACE = "ws-00000000-0000-0000-0000-000000000000"
_OF_THE_TRANSFER = ("content-encoding", "content-length", "transfer-encoding", "connection", "keep-alive")
_ENCODED = re.compile(r"%3Csecret%3E", re.IGNORECASE)


class Replay(Transport):
    """Answers from the record. Of several answers to one request each is given once, in their order, and the last one
    from then on. `unrecorded` are the requests that have no answer."""

    def __init__(self, answers: Sequence[Answer], mask: Callable[[str], str]) -> None:
        super().__init__()
        self._answers, self._mask = answers, mask
        self._patterns = [(one.method, _pattern(one.url)) for one in answers]
        self._used: set[int] = set()
        self._choosing = threading.Lock()
        self.unrecorded: list[str] = []

    @property
    def unused(self) -> list[int]:
        return [index for index in range(len(self._answers)) if index not in self._used]

    def send(
        self, request: HttpRequest, options: ConnectionOptions, timeout_seconds: float, *, is_source: bool = False
    ) -> HttpAnswer:
        url = comparable(self._mask(request.url))
        asked = {_canonical(url), _canonical(request.url)}  # a record may also show what is no secret to its author
        with self._choosing:
            fitting = [
                index
                for index, (method, pattern) in enumerate(self._patterns)
                if method == request.method and any(map(pattern.fullmatch, asked))
            ]
            if not fitting:
                what = f"{request.method} {url}"
                if what not in self.unrecorded:
                    self.unrecorded.append(what)
                raise TransportError("protocol", f"{what} {NOT_RECORDED}")
            index = next((one for one in fitting if one not in self._used), fitting[-1])
            self._used.add(index)
        return ReplayedAnswer(self._answers[index])


class ReplayedAnswer(HttpAnswer):
    """An answer that was read before. Its body is not compressed, whatever its headers said."""

    def __init__(self, answer: Answer) -> None:
        self.status, self._body = answer.status, answer.body
        self.headers = Headers(pair for pair in answer.headers if pair[0].lower() not in _OF_THE_TRANSFER)
        self.resent = False
        self._read = None

    def chunks(self) -> Iterator[bytes]:
        for at in range(0, len(self._body), CHUNK_BYTES):
            yield self._body[at : at + CHUNK_BYTES]

    def __exit__(self, *_: object) -> None:
        """There is no connection to keep."""


class _Placeholders(SecretStore):
    """Every file and reference is readable, and holds a text that says where it is from."""

    def reveal(self, secret: Secret, *, is_public: bool = False) -> str:
        if secret.literal is not None:
            return super().reveal(secret, is_public=is_public)
        text = f"placeholder-of-{secret.reference or secret.file}"
        self.mask.add(text)
        return text


class _Unsigned:
    """In place of SigV4: the record does not check who asks."""

    def authenticated(self, request: HttpRequest, deadline: float) -> HttpRequest:
        return request

    def renew(self, refusal: Refusal) -> bool:
        return False

    def is_refused(self, headers: Mapping[str, str], body: bytes) -> bool:
        return False

    def explained(self, headers: Mapping[str, str], body: bytes) -> str:
        return ""


class ReplayDependencies(Dependencies):
    """The clock stands at `now_ms`. `env_vars` are all that the config sees of an environment."""

    def __init__(self, answers: Sequence[Answer], now_ms: int, env_vars: Mapping[str, str]) -> None:
        super().__init__(env_vars, now_ms=lambda: now_ms, session=_no_aws, sleep=lambda seconds: None)
        self.secrets = _Placeholders(env_vars, _no_aws, time.monotonic)
        self.transport = self.replay = Replay(answers, self.secrets.mask)
        self.objects = S3(env_vars, self.transport, self.secrets, _no_aws, self.now_ms)

    def fetcher(self) -> Fetcher:
        return Fetcher(self.transport, self.secrets, self.env_vars, _unsigned)


def _unsigned(sigv4: SigV4) -> _Unsigned:
    return _Unsigned()


def _no_aws(*_: str) -> NoReturn:
    raise LookupError("a golden test asks nothing of AWS")


def placeholder_variables(config_text: str) -> dict[str, str]:
    """What a config needs of the environment so that it loads: a region, and a workspace under each name that it reads
    one from."""
    names = re.findall(r"""workspace:\s*["']?env:([A-Za-z_]\w*)""", config_text)
    return {"AWS_REGION": "us-east-1", "PUSHER_WORKSPACE": WORKSPACE} | dict.fromkeys(names, WORKSPACE)


def comparable(url: str, mask: Mask | None = None) -> str:
    """A URL without user, password and fragment, and with `<secret>` for what a parameter holds whose name says that
    it is a credential."""
    text = _ENCODED.sub(MASKED, mask(url) if mask else url)
    parts = urlsplit(text)
    pairs = [part.partition("=") for part in parts.query.split("&")] if parts.query else []
    query = "&".join(
        f"{name}={MASKED}" if names_credential(name) else name + equals + value for name, equals, value in pairs
    )
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path or "/", query, ""))


def _pattern(url: str) -> re.Pattern[str]:
    """A recorded URL, in which `<secret>` stands for whatever is there."""
    return re.compile("[^/?&#]*".join(map(re.escape, _canonical(url).split(MASKED))))


def _canonical(url: str) -> str:
    """A comparable URL, whichever way it is escaped and in which order its parameters stand."""
    parts = urlsplit(comparable(url))
    default = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    pairs = sorted(part.partition("=")[::2] for part in parts.query.split("&")) if parts.query else []
    query = "&".join(f"{unquote_plus(name)}={unquote_plus(value)}" for name, value in pairs)
    host = parts.netloc.lower().removesuffix(default)
    return f"{parts.scheme}://{host}{unquote(parts.path)}{'?' if query else ''}{query}"
