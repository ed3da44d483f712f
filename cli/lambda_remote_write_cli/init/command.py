"""`pusher init`: asks an API once, proposes metrics, and writes a commented config and a golden test."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.dependencies import Dependencies

from ..command import BAD, NOT_DELIVERED, OK, Add, BadUsage, Command, Example, add_timeout
from ..terminal import counted, refuse, say, say_json

if TYPE_CHECKING:
    from ..golden.file import Answer as Recorded
    from .answer import Answer
    from .config_writer import Draft
    from .proposals import Proposal
    from .request import Request

_INTERVAL = re.compile(r"([0-9]+(ms|[smhdwy]))+")


@dataclass(slots=True)
class Session:
    """One call of the command: its options, the names that it gives, and the answer that it works on."""

    options: argparse.Namespace
    dependencies: Dependencies
    job: str
    root_name: str
    request: Request
    answer: Answer
    now_ms: int

    @property
    def is_quiet(self) -> bool:
        return bool(self.options.json)

    @property
    def prefix(self) -> str:
        from .names import snake

        return self.options.prefix or snake(self.job).lstrip("0123456789_") or "api"

    def say(self, text: str) -> None:
        if not self.is_quiet:
            say(text)


def run(options: argparse.Namespace, dependencies: Dependencies) -> int:
    from .answer import NoAnswer
    from .questions import Left

    try:
        _check(options)
        session = _session(options, dependencies)
        return _scrape_config(session) if session.answer.is_metrics else _json_config(session)
    except NoAnswer as error:
        refuse(str(error), as_json=options.json)
        return NOT_DELIVERED
    except (Left, KeyboardInterrupt):
        refuse("stopped: nothing was written", as_json=options.json)
        return BAD


def _check(options: argparse.Namespace) -> None:
    """Raises BadUsage, before anything is asked for."""
    if options.json and not options.yes:
        raise BadUsage("--json asks no questions: add --yes, which writes each one as a comment into the config")
    if not options.yes and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadUsage(
            "init asks questions, and this is no terminal: add --yes, which writes each question as a comment into the "
            "config"
        )
    if not _INTERVAL.fullmatch(options.interval):
        raise BadUsage(f"--interval {options.interval!r:.40}: write a duration as 30s, 1m or 1h")
    if not Path(options.output).name or Path(options.output).is_dir():
        raise BadUsage(f"-o {options.output}: that is a folder; name a file, as pusher.yaml")
    for file in (options.output, _test_file(options)):
        if Path(file).exists() and not options.force:
            raise BadUsage(f"{file} exists: name another file with -o, or overwrite it with --force")
    if not Path(options.output).parent.is_dir():
        raise BadUsage(f"-o {options.output}: there is no folder {Path(options.output).parent}")


def _test_file(options: argparse.Namespace) -> Path:
    output = Path(options.output)
    return output.with_name(f"{output.stem}_test.yaml")


def _session(options: argparse.Namespace, dependencies: Dependencies) -> Session:
    """Reads the answer. Raises BadUsage and NoAnswer."""
    from . import answer
    from .request import PLACEHOLDER_URL, read

    is_url = "://" in options.source
    if options.source.partition("://")[0] not in ("http", "https") and is_url:
        raise BadUsage(f"{options.source.partition('://')[0]!r:.20}: a URL begins with http:// or https://")
    address = options.source if is_url else options.url or PLACEHOLDER_URL
    _check_url(address)
    job = options.job or _job_name(address if is_url or options.url else "", "" if is_url else options.source)
    request = read(options, address, job)
    known = _with_variables(dependencies, request)
    found = answer.fetch(request, known, options.timeout) if is_url else answer.of_file(options.source)
    return Session(options, known, job, _last_word(address), request, found, dependencies.now_ms())


def _check_url(url: str) -> None:
    try:
        _ = urlsplit(url).port
    except ValueError as error:
        raise BadUsage(f"the URL cannot be read: {error}; write http://HOST/PATH or https://HOST:PORT/PATH") from None


def _with_variables(dependencies: Dependencies, request: Request) -> Dependencies:
    """The same outside world, with the secrets of the command line as variables."""
    if not request.variables:
        return dependencies
    env_vars = {**dependencies.env_vars, **request.variables}
    return Dependencies(
        env_vars, dependencies.now_ms, dependencies.session, dependencies.sleep, transport=dependencies.transport
    )


_NO_WORDS = (
    "api", "rest", "json", "data", "metrics", "index", "latest", "all", "list", "status", "query", "graphql", "stats",
    "statistics", "summary", "overview", "current",
)  # fmt: skip


def _job_name(url: str, file: str) -> str:
    """From the last word of the URL's path that says something, else its host, else the file."""
    from .names import snake

    parts = urlsplit(url)
    words = [re.sub(r"\.\w{2,4}$", "", word) for word in parts.path.split("/") if word]
    telling = [word for word in words if re.search(r"[A-Za-z]{3}", word) and word.lower() not in _NO_WORDS]
    if telling:
        return snake(telling[-1])
    labels = [label for label in (parts.hostname or "").split(".") if label.lower() not in ("www", "api", "localhost")]
    if labels and re.search("[a-z]", labels[0]):
        return snake(labels[0])
    return snake(Path(file).stem) if file and file != "-" else "api"


def _last_word(url: str) -> str:
    """What a list at the top of the document is a list of, when the URL says so."""
    from .names import is_generic, is_plural

    words = [word for word in urlsplit(url).path.split("/") if word]
    word = words[-1] if words else ""
    return word if re.fullmatch(r"[A-Za-z_]+", word) and is_plural(word) and not is_generic(word) else ""


# --- A JSON job -------------------------------------------------------------------------------------------------------


def _json_config(session: Session) -> int:
    from .questions import Questions
    from .tree import tree

    for line in tree(session.answer.document, session.now_ms):
        session.say(line)
    proposal = _proposal(session)
    draft = _draft(session, proposal)
    _without_failing(session, draft)
    if not session.options.yes:
        with session.options.activity.paused():
            Questions(input, session.now_ms).ask(proposal)
        if not proposal.metrics:
            raise BadUsage("no metric is left: nothing was written")
    return _finish(session, draft)


def _proposal(session: Session) -> Proposal:
    """Raises NoAnswer for a document without anything to send."""
    from .answer import NoAnswer
    from .proposals import propose
    from .record_finder import Finder
    from .text_and_headers import of_counts, of_headers, of_text

    document = session.answer.document
    if document in ([], {}, None, ""):
        what = "an empty list" if document == [] else "an empty object" if document == {} else "empty"
        raise NoAnswer(
            f"the answer is {what}: ask when it has records, or with other parameters, or give a saved answer"
        )
    if isinstance(document, str):
        found = of_text(document, session.prefix)
    else:
        is_xml = session.answer.format == "xml"
        found = propose(
            Finder(document, session.root_name, session.now_ms, is_xml=is_xml), session.prefix, session.now_ms
        )
    found.groups += of_headers(session.answer.headers, session.prefix)
    if not found.metrics:
        found.groups = of_counts(document, session.prefix, session.root_name)
    _only(session.options.only, found)
    if not found.metrics:
        raise NoAnswer(_nothing_found(session))
    return found


def _nothing_found(session: Session) -> str:
    from lambda_remote_write.http.error_body import said_in

    if session.options.only:
        return f"--only {' '.join(session.options.only)}: no value has such a path or name; leave it out to see all"
    said = said_in(session.answer.content)
    detail = f'. It says "{session.dependencies.secrets.mask.quoted(said, 200)}"' if said else ""
    return f"there is no number in the answer{detail}. Ask another path of the API, one whose answer has values"


def _only(wanted: Sequence[str], proposal: Proposal) -> None:
    if wanted:
        for group in proposal.groups:
            group.metrics = [one for one in group.metrics if one.value in wanted or one.name in wanted]
        proposal.groups = [group for group in proposal.groups if group.metrics]


def _draft(session: Session, proposal: Proposal) -> Draft:
    from .config_writer import Draft
    from .names import snake
    from .pages import OF_PAGES, paging_of

    document, options = session.answer.document, session.options
    paging = paging_of(document, session.answer.headers, session.request.url)
    for group in proposal.groups if paging else ():
        if not group.records:
            group.metrics = [one for one in group.metrics if snake(one.value.rpartition(".")[2]) not in OF_PAGES]
    proposal.groups = [group for group in proposal.groups if group.metrics]
    error = next((key for key in ("error", "errors") if isinstance(document, dict) and document.get(key)), "")
    return Draft(
        options.output,
        session.job,
        options.interval,
        session.request,
        proposal,
        session.now_ms,
        session.answer.keys,
        _labels(options.label),
        paging,
        error,
        options.workspace,
    )


def _labels(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"(?!__)[A-Za-z_]\w*", name, re.ASCII):
            raise BadUsage(f"--label {text!r:.60}: write NAME=VALUE; a name has letters, digits and _")
        found[name] = value
    return found


def _without_failing(session: Session, draft: Draft) -> None:
    """Leaves out a metric that gives no sample of this very answer."""
    for _ in range(3):
        job = _plan(session, draft)[0]["jobs"][0]
        failed = {one["metric"]: one["failed"] for one in job["metrics"] if one.get("failed")}
        if not failed or len(failed) == len(draft.proposal.metrics):
            return
        for group in draft.proposal.groups:
            gone = [metric for metric in group.metrics if metric.name in failed]
            draft.proposal.left_out += [f"{one.value}: {failed[one.name]}" for one in gone]
            group.metrics = [metric for metric in group.metrics if metric not in gone]
        draft.proposal.groups = [group for group in draft.proposal.groups if group.metrics]


def _plan(session: Session, draft: Draft) -> tuple[dict[str, Any], list[Recorded]]:
    """What the config makes of the answer, and the answers that it takes. Raises ConfigError."""
    from . import preview
    from .config_writer import json_job

    text = json_job(draft)
    config = preview.checked(text, draft.file, session.dependencies.env_vars)
    answers = preview.recorded(session.answer, session.request)
    return preview.planned(config, answers, session.now_ms, session.dependencies.env_vars), answers


# --- A page of metrics ------------------------------------------------------------------------------------------------


def _scrape_config(session: Session) -> int:
    from . import preview
    from .config_writer import Draft, scrape_job
    from .pages import parameters
    from .proposals import Proposal

    session.say(
        "The answer is a page of metrics in Prometheus's format: a scrape job reads it, and types come from it."
    )
    options, request = session.options, session.request
    parts = urlsplit(request.url)
    draft = Draft(
        options.output, session.job, options.interval, request, Proposal(), session.now_ms,
        labels=_labels(options.label), workspace=options.workspace,
    )  # fmt: skip
    text = scrape_job(draft, parts.netloc, parts.scheme, parts.path or "/", parameters(request.url))
    config = preview.checked(text, options.output, session.dependencies.env_vars)
    answers = preview.recorded(session.answer, request)
    found = preview.planned(config, answers, session.now_ms, session.dependencies.env_vars)
    return _written(session, text, found, answers)


# --- The end ----------------------------------------------------------------------------------------------------------


def _finish(session: Session, draft: Draft) -> int:
    from .config_writer import json_job

    found, answers = _plan(session, draft)
    return _written(session, json_job(draft), found, answers)


def _written(session: Session, text: str, found: dict[str, Any], answers: Sequence[Recorded]) -> int:
    """Writes both files, shows the samples, and says what comes next."""
    options = session.options
    try:
        Path(options.output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadUsage(f"{options.output} cannot be written: {error.strerror}; name another file with -o") from None
    test, note_on_test = _test(session, answers)
    questions = sum(line.rstrip().endswith("?") for line in text.splitlines() if "#" in line)
    if options.json:
        say_json({
            "ok": found["ok"], "config": options.output, "test": test, "questions": questions, "jobs": found["jobs"],
            "notes": [*session.request.notes, *filter(None, [note_on_test])],
        })  # fmt: skip
        return OK if found["ok"] else NOT_DELIVERED
    say("")
    _show(found)
    for note in [*session.request.notes, *filter(None, [note_on_test])]:
        say(f"note: {note}")
    say("")
    asks = f", with {counted(questions, 'question')} for you: its comments that end in ?" if questions else ""
    say(f"Wrote {options.output}{asks}.")
    if test:
        say(f"Wrote {test}: pusher test {test} replays this answer through the config.")
    _next(session)
    return OK if found["ok"] else NOT_DELIVERED


def _test(session: Session, answers: Sequence[Recorded]) -> tuple[str, str]:
    """The golden test, if one was written, and a note: why not, or what to do about it."""
    from ..golden import record
    from ..golden.run import NotTestable

    file = _test_file(session.options)
    try:
        record.write(Path(session.options.output), file, answers, session.now_ms)
    except (NotTestable, record.TooLarge, ConfigError, OSError) as error:
        return "", f"no golden test was written: {error}"
    except KeyboardInterrupt:
        return "", "no golden test was written: interrupted"
    return str(file), _secrets_in(session)


def _secrets_in(session: Session) -> str:
    """What to do about an answer that seems to hold secrets, which the golden test keeps as it came."""
    from .names import secret_keys

    found = ", ".join(secret_keys(session.answer.document)[:5])
    note = f"the answer, which the golden test keeps, may hold secrets ({found}): replace them before a commit"
    return note if found else ""


def _show(found: dict[str, Any]) -> None:
    """The samples of this answer, as `plan` shows them; the config has its own questions, so that lint is left out."""
    from ..plan import print_plan

    jobs = [job | {"lint": [one for one in job["lint"] if "no help text" not in one]} for job in found["jobs"]]
    print_plan(found | {"jobs": jobs, "endpoints": [], "warnings": []})


def _next(session: Session) -> None:
    from .request import PLACEHOLDER_URL

    options = session.options
    say("Next:")
    if session.request.url.startswith(PLACEHOLDER_URL):
        say(f"  write the address of the API into {options.output}: url, in the place of {PLACEHOLDER_URL}")
    for variable in session.request.variables:
        say(f"  export {variable}=…")
    if not options.workspace:
        say("  export PUSHER_WORKSPACE=ws-… AWS_REGION=…")
    say(f"  pusher plan {options.output}")
    say(f"  pusher push {options.output}")
    say(f"  make deploy CONFIG={options.output}")


def _add_arguments(add: Add) -> None:
    add("source", metavar="URL|FILE", help="the API, or a saved answer of it; - reads standard input")
    add("-o", "--output", default="pusher.yaml", metavar="FILE", help="the config to write (default: pusher.yaml)")
    add("--force", action="store_true", help="overwrite the config and its test")
    add("--yes", action="store_true", help="ask nothing: each question becomes a comment in the config")
    add("--json", action="store_true", help="print one JSON document instead of text; needs --yes")
    add("--job", default="", metavar="NAME", help="the job's name (default: from the URL)")
    add("--prefix", default="", metavar="TEXT", help="what the metrics' names begin with (default: the job's name)")
    add("--only", action="append", default=[], metavar="PATH", help="write only this value or metric; may be repeated")
    add("--label", action="append", default=[], metavar="NAME=VALUE", help="a label of every sample; may be repeated")
    add("--interval", default="1m", metavar="DURATION", help="how often the API is asked (default: 1m)")
    add("--workspace", default="", metavar="ws-…", help="the AMP workspace to write to")
    add("--url", default="", metavar="URL", help="of a FILE: the address that answers so")
    add("--method", choices=("GET", "POST"), default="", help="of the request (default: GET, POST with a body)")
    add("--body", default="", metavar="TEXT|@FILE", help="the body of the request")
    add("--header", action="append", default=[], metavar="'NAME: VALUE'", help="a header; may be repeated")
    add("--header-ref", action="append", default=[], metavar="NAME=REF", help="a header whose value is a secret")
    add("--query-ref", action="append", default=[], metavar="NAME=REF", help="a parameter whose value is a secret")
    add("--bearer-ref", default="", metavar="REF", help="Authorization: Bearer, with this secret")
    add("--basic-ref", default="", metavar="USER=REF", help="basic authentication; REF is the password")
    add("--digest-ref", default="", metavar="USER=REF", help="digest authentication")
    add("--sigv4", default="", metavar="SERVICE@REGION", help="sign with SigV4, as execute-api@eu-west-1")
    add("--login", default="", metavar="URL", help="log in there first, and send the token with the request")
    add("--login-body", default="", metavar="TEXT|@FILE", help="the body of the login")
    add("--login-token", default="", metavar="PATH", help="where the login's answer has the token; or: cookie")
    add_timeout(add, 30.0, "30")


COMMAND = Command(
    "init",
    "ask an API once, and write a commented config and a test from its answer",
    _add_arguments,
    run,
    (
        Example(
            "pusher init https://api.example.com/usage",
            "asks counter or gauge, labels and times; Enter accepts the proposal",
        ),
        Example("pusher init https://api.example.com/usage --bearer-ref env:TOKEN --yes", "asks nothing, and logs in"),
        Example("pusher init usage.json --url https://api.example.com/usage -o usage.yaml", "from a saved answer"),
    ),
    (
        (OK, "the config and its test are written"),
        (NOT_DELIVERED, "the API gave nothing to make a config of, or a metric failed"),
        (BAD, "the usage is bad, or the questions were left: nothing is written"),
    ),
)
