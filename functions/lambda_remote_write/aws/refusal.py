"""What AWS means by an error about who asks: its codes, and a clock that is off."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from ..config.scalars import print_duration
from ..config.schema import SigV4

_SKEW_SECONDS = 300  # "a request must reach AWS within five minutes of the time stamp in the request" (IAM User Guide)
_XML_CODE = re.compile(rb"<Code>\s*([A-Za-z.]+)\s*</Code>")
_EXPIRED = frozenset(("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"))
_UNKNOWN = frozenset(("InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "AuthFailure"))
_UNSIGNED = frozenset(("MissingAuthenticationToken", "MissingAuthenticationTokenException"))
_WRONG = frozenset(
    ("SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature", "IncompleteSignatureException",
     "AuthorizationHeaderMalformed", "RequestTimeTooSkewed", "RequestExpired")
)  # fmt: skip
_DENIED = frozenset(
    ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized", "AuthorizationError",
     "ForbiddenException", "UnauthorizedException")
)  # fmt: skip
_OF_CREDENTIALS = _EXPIRED | _UNKNOWN | _UNSIGNED | _WRONG | _DENIED


def code_of(headers: Mapping[str, str], body: bytes) -> str:
    """The code of an error: of AWS's REST and JSON protocols in a header or `__type`, of the others in XML."""
    code = headers.get("x-amzn-ErrorType") or headers.get("x-amzn-errortype") or _of_json(body)
    if match := None if code else _XML_CODE.search(body):
        code = match[1].decode()
    return code.partition(":")[0].rpartition("#")[2].strip()


def _of_json(body: bytes) -> str:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    found = document.get("__type") or document.get("code") if isinstance(document, dict) else None
    return found if isinstance(found, str) else ""


def is_about_credentials(code: str) -> bool:
    return code in _OF_CREDENTIALS


def explained(sigv4: SigV4, headers: Mapping[str, str], body: bytes, now_ms: int) -> str:
    """What an error about who asks means, and what to do."""
    code = code_of(headers, body)
    if skew := _skew(headers, now_ms):
        return skew
    if code in _EXPIRED:
        return f"the session of {_who(sigv4)} has ended: log in again, or leave the keys to the function's role"
    if code in _UNKNOWN:
        return f"AWS does not know the access key of {_who(sigv4)}, or not in {sigv4.region}"
    signed = f"it was signed for {sigv4.service} in {sigv4.region}: check that they are the API's"
    if code in _WRONG:
        return f"{signed}, and the secret key"
    if code in _UNSIGNED:
        return f"{signed}; API Gateway answers so where it has no such path or method, too"
    return f"{signed}, and that {_who(sigv4)} may do it: pusher plan prints the IAM statement"


def _skew(headers: Mapping[str, str], now_ms: int) -> str:
    """By how much our clock differs from that of the answer, where a signature cannot hold."""
    try:
        theirs = parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (ValueError, TypeError):
        return ""
    ahead = round(now_ms / 1000 - theirs)
    if abs(ahead) <= _SKEW_SECONDS:
        return ""
    shown = print_duration(abs(ahead) * 1000)
    side = "ahead of" if ahead > 0 else "behind"
    return f"this machine's clock is {shown} {side} the API's, and a signature holds for five minutes: set the clock"


def _who(sigv4: SigV4) -> str:
    if sigv4.role_arn:
        return sigv4.role_arn
    if sigv4.access_key:
        return "sigv4's access_key"
    return f"the profile {sigv4.profile}" if sigv4.profile else "the role or user that asks"
