"""Status -> outcome, and a sentence that explains it. The receiver's text is quoted, never interpreted."""

from __future__ import annotations

from ..model.delivery import Outcome

_UNAVAILABLE = (408, 429)
_MISCONFIGURED = (401, 403, 404)


def classify(status: int) -> Outcome:
    """Every status has an outcome. Other than "no retry on 4xx" says: 408 is retried, and after 401, 403 and 404 the
    samples count as undelivered instead of rejected, because a person can fix the cause."""
    if 200 <= status < 300:
        return Outcome.ACCEPTED
    if status >= 500 or status in _UNAVAILABLE:
        return Outcome.UNAVAILABLE
    if status < 400 or status in _MISCONFIGURED:
        return Outcome.MISCONFIGURED
    return Outcome.TOO_LARGE if status == 413 else Outcome.REJECTED


_MEANINGS = {
    400: "the receiver refused samples of this request (it names only the first); look for out-of-order or too old "
    "samples, two writers of one series, a series limit",
    401: "the receiver knows no such user: check basic_auth or authorization",
    403: "the receiver does not allow it: the role needs aps:RemoteWrite on this workspace, sigv4.region must be the "
    "workspace's region, and the clock must be right",
    404: "there is no such address or workspace: check the workspace id, region and account, and that the url ends in "
    "/api/v1/remote_write",
    408: "the receiver gave up waiting",
    413: "the request is larger than the receiver takes: lower queue_config.max_body_bytes or max_samples_per_send",
    415: "the receiver does not take this protocol: is the url a remote write 1.0 endpoint?",
    429: "the receiver throttles: its ingestion rate or request rate is exceeded; raise the quota or send less often",
}


def meaning(status: int) -> str:
    """What a status other than 2xx means, and what to do."""
    if status in _MEANINGS:
        return _MEANINGS[status]
    if 300 <= status < 400:
        return "the receiver redirects; a signed request is not redirected: put the final address into url"
    if status >= 500:
        return "the receiver is in trouble; it may take the samples again later"
    return "the receiver refused the request" if status >= 400 else "this is no answer to a remote write"
