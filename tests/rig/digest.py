"""A server that asks for Digest (RFC 7616), written from the standard with the parser of the standard library."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.request import parse_http_list, parse_keqv_list

from sandbox.server import Answer, Request

HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
REALM = "home, north"


@dataclass(slots=True)
class DigestServer:
    """Lets `username` with `password` in. `counts` are the counts by nonce; each request is in `seen`, by what came of
    it. With `one_time`, each nonce serves once and is stale after that."""

    username: str = "u"
    password: str = "p"
    algorithm: str = "MD5"
    qop: str = "auth"
    nonce: str = "n0"
    more: str = ""
    one_time: bool = False
    says_stale: bool = True
    answer: Answer = field(default_factory=lambda: Answer.json({"v": 1}))
    seen: list[str] = field(default_factory=list)
    counts: dict[str, list[int]] = field(default_factory=dict)

    @property
    def challenge(self) -> str:
        qop = f', qop="{self.qop}"' if self.qop else ""
        return (
            f'Digest realm="{REALM}", nonce="{self.nonce}"{qop}, algorithm={self.algorithm}, opaque="o/1=="{self.more}'
        )

    def __call__(self, request: Request) -> Answer:
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Digest":
            return self._refused(f"{scheme or 'nothing'}", "")
        given = parse_keqv_list(parse_http_list(rest))
        if given["nonce"] != self.nonce:
            return self._refused("stale", ", stale=true" if self.says_stale else "")
        if not self._is_right(request, given):
            return self._refused("wrong", "")
        self.counts.setdefault(self.nonce, []).append(int(given.get("nc", "0"), 16))
        self.seen.append("let in")
        if self.one_time:
            self.nonce += "'"
        return self.answer

    def _refused(self, why: str, more: str) -> Answer:
        self.seen.append(why)
        return Answer.json({}, 401, {"WWW-Authenticate": self.challenge + more})

    def _is_right(self, request: Request, given: Mapping[str, str]) -> bool:
        def hashed(text: str | bytes) -> str:
            data = text if isinstance(text, bytes) else text.encode()
            return hashlib.new(HASHES[self.algorithm.removesuffix("-sess")], data).hexdigest()

        uri = f"{request.path}?{request.query}" if request.query else request.path
        first = hashed(f"{self.username}:{REALM}:{self.password}")
        if self.algorithm.endswith("-sess"):
            first = hashed(f"{first}:{self.nonce}:{given['cnonce']}")
        body = f":{hashed(request.body)}" if given.get("qop") == "auth-int" else ""
        second = hashed(f"{request.method}:{uri}{body}")
        middle = f"{given['nc']}:{given['cnonce']}:{given['qop']}:" if self.qop else ""
        response = hashed(f"{first}:{self.nonce}:{middle}{second}")
        return (given["uri"], given["realm"], given["response"]) == (uri, REALM, response)
