"""The commands in a block of bash, and whether their programs know them: `make` by the Makefile, `pusher` by its own
parser, `aws` by botocore's models, `sam` by its options. What is wrong comes back as a sentence; "" is right."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import itertools
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

import jmespath
from botocore import xform_name
from botocore.model import OperationModel
from botocore.session import get_session

from lambda_remote_write_cli import main as command_line
from tests.rig.stack import ROOT

PUNCTUATION = "();<>|&\n"
OPERATORS = re.compile(f"[{PUNCTUATION}]+")
MAKEFILE = (ROOT / "Makefile").read_text()

# Of the AWS command line itself, with any operation.
AWS_GLOBAL = {
    "query", "output", "region", "profile", "endpoint-url", "no-cli-pager", "cli-binary-format", "cli-read-timeout",
    "no-paginate", "debug",
}  # fmt: skip
AWS_OWN = {"s3": {"cp", "ls", "mb", "rb", "rm", "sync", "presign"}, "logs": {"tail"}, "configure": {"get", "list"}}
AWS_SERVICES = {"s3api": "s3"}
AWS_RENAMED = {("sns", "subscribe"): {"notification-endpoint": "endpoint"}}
AWS_OF_AN_OPERATION = {("ec2", "authorize-security-group-ingress"): {"protocol", "port", "source-group", "cidr"}}
AWS_OUTPUT_FILE = {("lambda", "invoke")}  # a word without an option: where the answer goes


def commands(text: str) -> list[list[str]]:
    """The simple commands of a block as words, those in pipes, lists and `$(…)` too, without redirections and without
    the assignments in front."""
    found: list[list[str]] = [[]]
    is_file = False
    for word in _words(text.replace("\\\n", " ")):
        if OPERATORS.fullmatch(word):
            is_file = bool(re.search("[<>]", word)) and "(" not in word
            found += [] if is_file else [[]]
        elif not is_file:
            found[-1].append(word)
        else:
            is_file = False
    kept = [list(_without_assignments(words)) for words in found]
    own = {"{", "}", *re.findall(r"^ *(\w+)\(\) *\{", text, re.M)}  # functions that the block defines
    return [words for words in kept if words and words[0] not in own]


def _words(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=PUNCTUATION)
    lexer.whitespace_split, lexer.whitespace = True, " \t"
    lexer.commenters = ""
    return list(lexer)


def _without_assignments(words: Sequence[str]) -> Iterator[str]:
    is_front = True
    for word in words:
        is_front = is_front and (word in ("export", "{", "$") or bool(re.match(r"\w+=", word)))
        if not is_front:
            yield word


def problem(words: Sequence[str]) -> str:
    """What is wrong with a command."""
    program = words[0].removeprefix(".venv/bin/")
    if program not in CHECKS:
        return f"{program}: no test knows this program"
    found = CHECKS[program](words[1:])
    return f"{shlex.join(words)}: {found}" if found else ""


# --- pusher -----------------------------------------------------------------------------------------------------------


def _pusher(words: Sequence[str]) -> str:
    """By the parser of the command line, which prints what it does not know, and exits."""
    if words and words[0] in ("--version", "--help"):
        return ""
    complaint = io.StringIO()
    with contextlib.redirect_stderr(complaint), contextlib.redirect_stdout(io.StringIO()):
        try:
            _parser().parse_args(_with_relative_times(words))
        except SystemExit as stopped:
            return complaint.getvalue() if stopped.code else ""
    return ""


@cache
def _parser() -> argparse.ArgumentParser:
    names = command_line._MODULES
    modules = {name: importlib.import_module(f"lambda_remote_write_cli.{place}") for name, place in names.items()}
    return command_line.parser({name: module.COMMAND for name, module in modules.items()})


def _with_relative_times(words: Sequence[str]) -> list[str]:
    return re.sub(r"(--start|--end)\0(-)", r"\1=\2", "\0".join(words)).split("\0")


# --- make -------------------------------------------------------------------------------------------------------------


def _make(words: Sequence[str]) -> str:
    """The target exists, and each variable is one that the Makefile, or the module that the target runs, reads."""
    targets = [word for word in words if "=" not in word]
    for target in targets:
        if not re.search(rf"^{re.escape(target)}:", MAKEFILE, re.M):
            return f"the Makefile has no target {target}"
    known = "\n".join([MAKEFILE, *map(_modules_of, targets)])
    for name in (word.partition("=")[0] for word in words if "=" in word):
        if not re.search(rf'\$\({name}\)|\$\(if \$\({name}\)|^{name} \?=|"{name}"', known, re.M):
            return f"nothing reads the variable {name}"
    return ""


def _modules_of(target: str) -> str:
    """The source of what a target's recipe runs as `python -m`."""
    recipe = re.search(rf"^{re.escape(target)}:.*\n((?:\t.*\n)*)", MAKEFILE, re.M)
    names = re.findall(r"-m ([\w.]+)", recipe[1]) if recipe else []
    paths = (ROOT / name.replace(".", "/") for name in names)
    folders = {path if path.is_dir() else path.parent for path in paths}
    return "\n".join(file.read_text() for folder in folders if folder != ROOT for file in folder.glob("*.py"))


# --- aws --------------------------------------------------------------------------------------------------------------


def _aws(words: Sequence[str]) -> str:
    """Service, operation and options are those that botocore knows, and no required one is missing."""
    service, name, *rest = words
    if name in AWS_OWN.get(service, ()):  # which no model has
        return ""
    service = AWS_SERVICES.get(service, service)
    if service not in get_session().get_available_services():
        return f"AWS has no service {service}"
    if name == "wait":
        known = get_session().get_waiter_model(service).waiter_names
        return "" if rest[0] in {xform_name(one, "-") for one in known} else f"{service} does not wait for {rest[0]}"
    operation = _operations(service).get(name)
    if operation is None:
        return f"{service} has no operation {name}"
    return _aws_options(service, operation, name, rest)


def _aws_options(service: str, operation: OperationModel, name: str, rest: Sequence[str]) -> str:
    renamed = AWS_RENAMED.get((service, name), {})
    given = {renamed.get(word[2:], word[2:]): index for index, word in enumerate(rest) if word.startswith("--")}
    shape = operation.input_shape
    members = {xform_name(member, "-") for member in shape.members} if shape else set()
    required = {xform_name(member, "-") for member in shape.required_members} if shape else set()
    own = AWS_OF_AN_OPERATION.get((service, name), set())
    if unknown := given.keys() - members - {f"no-{member}" for member in members} - AWS_GLOBAL - own:
        return f"{service} {name} has no option {', '.join(sorted(unknown))}"
    if missing := required - given.keys():
        return f"{service} {name} needs {', '.join(sorted(missing))}"
    if "query" in given and "$" not in rest[given["query"] + 1]:
        jmespath.compile(rest[given["query"] + 1])
    pairs = itertools.pairwise(rest)
    if (service, name) in AWS_OUTPUT_FILE and all("--" in (before[:2], here[:2]) for before, here in pairs):
        return "the file for the answer is missing"
    return ""


@cache
def _operations(service: str) -> Mapping[str, OperationModel]:
    model = get_session().get_service_model(service)
    return {xform_name(name, "-"): model.operation_model(name) for name in model.operation_names}


# --- other programs ---------------------------------------------------------------------------------------------------


def _sam(words: Sequence[str]) -> str:
    """By the commands and options of the pinned SAM."""
    names = itertools.takewhile(lambda word: re.fullmatch(r"[a-z-]+", word) and not word.startswith("-"), words)
    name, *below = names
    try:
        module = importlib.import_module(f"samcli.commands.{name}")
    except ModuleNotFoundError:
        return f"sam has no command {name}"
    if not hasattr(module, "cli"):  # of a group
        module = importlib.import_module(f"samcli.commands.{name}.{name}")
    command = module.cli
    for one in below:
        command = command.get_command(None, one)  # None where a group has no such command
    known = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}
    unknown = [word for word in words if word.startswith("-") and word.partition("=")[0] not in known]
    return f"sam does not know {', '.join(unknown)}" if unknown else ""


def _install(words: Sequence[str]) -> str:
    """`pip install` and `pipx install`: from the checkout, or a wheel. The package is not published."""
    if words[:1] != ["install"]:
        return "only install is known"
    places = [word for word in words[1:] if not word.startswith("-")]
    wheel = re.compile(r"(?:\./|dist/)?lambda_remote_write-(?:\*|[\w.]+-py3-none-any)\.whl|\.")
    wrong = [place for place in places if not wheel.fullmatch(place)]
    return f"{wrong[0]} is neither the checkout nor a wheel" if wrong or not places else ""


def _forms(*allowed: str) -> Callable[[Sequence[str]], str]:
    """One of these forms; `*` is any words."""
    patterns = [re.compile(re.escape(form).replace(r"\*", ".*"), re.S) for form in allowed]

    def check(words: Sequence[str]) -> str:
        text = " ".join(words)
        return "" if any(pattern.fullmatch(text) for pattern in patterns) else f"allowed are {', '.join(allowed)}"

    return check


CHECKS: Mapping[str, Callable[[Sequence[str]], str]] = {
    "pusher": _pusher,
    "make": _make,
    "aws": _aws,
    "sam": _sam,
    "pip": _install,
    "pipx": _install,
    "promtool": _forms("tsdb create-blocks-from openmetrics *", "test rules *", "check *"),
    "cd": _forms("*"),
    "jq": _forms("*"),  # where it stands, it is run
    "printf": _forms("*"),
    ".ci/peers": _forms("*"),
    "sed": _forms("*"),
    "git": _forms("fetch *", "checkout *"),
    "docker": _forms("build *", "run *"),
    "terraform": _forms("init", "apply *", "plan *"),
    "ssh-keygen": _forms("-Y verify *"),
    "sha256sum": _forms("--check *"),
}
