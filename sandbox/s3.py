"""A bucket that behaves like S3, on a loopback socket: what the spool and its tests need of it.

Reached with AWS_ENDPOINT_URL_S3 set to `base_url`; addresses are path-style.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

from sandbox.amp import SigV4
from sandbox.server import Answer, Fault, FaultScript, LoopbackServer, Request, Served

OPERATIONS = ("put", "get", "list", "delete")
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_BY_METHOD = {"PUT": "put", "GET": "get", "DELETE": "delete"}
KEYS = SigV4(service="s3")


def etag_of(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


class ObjectStore(Served):
    """One bucket behind a socket; a context manager. Requests are signed as S3 wants it, unless `auth` is None.

    `conditional_delete` is off for services that delete whatever is there (MinIO); `says_missing` is off for those that
    answer the conditional DELETE of a missing key with 204 (versitygw), where AWS answers 404.
    """

    def __init__(
        self,
        *,
        bucket: str = "spool",
        auth: SigV4 | None = KEYS,
        now: Callable[[], float] = time.time,
        on_request: Callable[[str, Request], None] | None = None,
    ) -> None:
        self.bucket, self.auth = bucket, auth
        self.conditional_delete = self.says_missing = True
        self.max_keys = 1_000  # of one page of a listing
        self.counts: Counter[str] = Counter()
        self._now, self._on_request = now, on_request
        self._objects: dict[str, bytes] = {}
        self._frozen: list[str] | None = None
        self._scripts = {operation: FaultScript() for operation in OPERATIONS}
        self._lock = threading.Lock()
        self._planned = threading.local()  # the operation of the request that this thread serves
        self._server = LoopbackServer(self._respond, plan=self._plan, now=now)

    @property
    def base_url(self) -> str:
        return self._server.base_url

    @property
    def objects(self) -> dict[str, bytes]:
        """A copy of all objects by key."""
        with self._lock:
            return dict(self._objects)

    def put(self, key: str, content: bytes) -> None:
        with self._lock:
            self._objects[key] = content

    def etag(self, key: str) -> str:
        with self._lock:
            return etag_of(self._objects[key])

    def script(self, operation: str, *faults: Fault | None) -> None:
        """Queue behaviours for the next requests of an operation, "*" for all; None is a request treated well."""
        for script in self._of(operation):
            script.script(*faults)

    def always(self, operation: str, fault: Fault | None) -> None:
        """Treat every request of an operation ("*" for all) so; None ends it."""
        for script in self._of(operation):
            script.always(fault)

    def end_faults(self) -> None:
        """Ends every fault: all requests succeed from now on."""
        for script in self._of("*"):
            script.end()

    def freeze_lists(self) -> None:
        """From now on listings show the bucket as it is at this moment."""
        with self._lock:
            self._frozen = sorted(self._objects, key=str.encode)

    def thaw_lists(self) -> None:
        with self._lock:
            self._frozen = None

    def _of(self, operation: str) -> Sequence[FaultScript]:
        return list(self._scripts.values()) if operation == "*" else [self._scripts[operation]]

    def _plan(self, method: str, path: str) -> Fault | None:
        is_bucket = path.removesuffix("/") == f"/{self.bucket}"  # a key may be "/", too
        operation = "list" if method == "GET" and is_bucket else _BY_METHOD.get(method, "get")
        with self._lock:
            self.counts[operation] += 1
        self._planned.operation = operation
        return self._scripts[operation].next()

    def _respond(self, request: Request) -> Answer:
        operation = self._planned.operation
        if self._on_request:
            self._on_request(operation, request)
        if request.fault and not request.fault.handled:
            return Answer(500)
        with self._lock:
            return self._refusal(request) or self._answer(operation, request)

    def _refusal(self, request: Request) -> Answer | None:
        refusal = self.auth.refusal(request, self._now()) if self.auth else None
        if refusal is None and self.auth and "x-amz-content-sha256" not in request.headers:
            return _error(400, "MissingSecurityHeader", "Your request was missing x-amz-content-sha256")
        if refusal is None:
            return None
        detail = refusal.body.decode()
        code = next((code for words, code in _CODES.items() if words in detail), "AccessDenied")
        return _error(403, code, detail)

    def _answer(self, operation: str, request: Request) -> Answer:
        bucket, _, key = unquote(request.path).removeprefix("/").partition("/")
        if bucket != self.bucket:
            return _error(404, "NoSuchBucket", "The specified bucket does not exist")
        if request.method not in _BY_METHOD or (operation != "list" and not key):
            return _error(405, "MethodNotAllowed", "The specified method is not allowed against this resource")
        answers: dict[str, Callable[[str, Request], Answer]] = {
            "put": self._put, "get": self._get, "delete": self._delete, "list": self._list
        }  # fmt: skip
        return answers[operation](key, request)

    def _put(self, key: str, request: Request) -> Answer:
        known = self._objects.get(key)
        expected = request.headers.get("If-Match")
        if request.headers.get("If-None-Match") == "*" and known is not None:
            return _PRECONDITION
        if expected is not None and known is None:
            return _NO_SUCH_KEY
        if expected is not None and expected != etag_of(known or b""):
            return _PRECONDITION
        self._objects[key] = request.body
        return Answer(200, {"ETag": etag_of(request.body)})

    def _get(self, key: str, request: Request) -> Answer:
        if key not in self._objects:
            return _NO_SUCH_KEY
        content = self._objects[key]
        headers = {"ETag": etag_of(content), "Content-Type": "application/octet-stream"}
        if request.headers.get("If-Match", headers["ETag"]) != headers["ETag"]:
            return _PRECONDITION
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return Answer(304, {"ETag": headers["ETag"]})
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        if wanted is None:
            return Answer(200, headers, content)
        start, stop = int(wanted[1]), min(int(wanted[2]) + 1, len(content))
        if start >= len(content):
            headers["Content-Range"] = f"bytes */{len(content)}"
            return Answer(416, headers)
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        return Answer(206, headers, content[start:stop])

    def _delete(self, key: str, request: Request) -> Answer:
        expected = request.headers.get("If-Match") if self.conditional_delete else None
        known = self._objects.get(key)
        if expected is not None and known is None and self.says_missing:
            return _NO_SUCH_KEY
        if expected is not None and known is not None and expected != etag_of(known):
            return _PRECONDITION
        self._objects.pop(key, None)
        return Answer(204)

    def _list(self, _: str, request: Request) -> Answer:
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        if query.get("list-type") != "2":
            return _error(400, "InvalidArgument", "only ListObjectsV2 is served")
        keys = sorted(self._objects, key=str.encode) if self._frozen is None else self._frozen
        return _listing(query, keys, self._objects, self.max_keys)


def _listing(query: Mapping[str, str], keys: Sequence[str], objects: Mapping[str, bytes], max_keys: int) -> Answer:
    """One page of ListObjectsV2: keys and common prefixes, in order, `max-keys` together."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = query.get("continuation-token") or query.get("start-after", "")
    most = min(int(query.get("max-keys", max_keys)), max_keys)
    found: dict[str, bool] = {}  # a key or a common prefix -> whether it is a prefix
    for key in keys:
        if not key.startswith(prefix):
            continue
        folder, slash, _ = key.removeprefix(prefix).partition(delimiter) if delimiter else ("", "", "")
        shown = f"{prefix}{folder}{slash}" if slash else key
        if shown > after:
            found[shown] = bool(slash)
    page = list(found)[:most]
    encode = (lambda text: quote(text, safe="/")) if query.get("encoding-type") == "url" else escape
    parts = [f"<IsTruncated>{'true' if len(found) > most else 'false'}</IsTruncated><KeyCount>{len(page)}</KeyCount>"]
    if len(found) > most and page:
        parts.append(f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>")
    for one in page:
        if found[one]:
            parts.append(f"<CommonPrefixes><Prefix>{encode(one)}</Prefix></CommonPrefixes>")
        else:
            size = len(objects.get(one, b""))
            parts.append(f"<Contents><Key>{encode(one)}</Key><Size>{size}</Size></Contents>")
    body = f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="{_NAMESPACE}">{"".join(parts)}'
    return Answer(200, {"Content-Type": "application/xml"}, f"{body}</ListBucketResult>".encode())


_CODES = {
    "does not match the signature": "SignatureDoesNotMatch",
    "Signature expired": "RequestTimeTooSkewed",
    "Signature not yet current": "RequestTimeTooSkewed",
    "is expired": "ExpiredToken",
    "x-amz-content-sha256": "XAmzContentSHA256Mismatch",
}


def _error(status: int, code: str, detail: str) -> Answer:
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{escape(detail)}</Message></Error>'
    )
    return Answer(status, {"Content-Type": "application/xml"}, body.encode())


_PRECONDITION = _error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
_NO_SUCH_KEY = _error(404, "NoSuchKey", "The specified key does not exist.")
