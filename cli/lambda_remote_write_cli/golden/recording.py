"""`pusher test --record`: fetches once, and writes a test."""

from __future__ import annotations

import argparse
from pathlib import Path

from lambda_remote_write.dependencies import Dependencies

from ..command import BAD, NOT_DELIVERED, OK, BadUsage
from ..terminal import counted, refuse, say, say_json, wrong
from .drift import changes
from .file import LOCAL_ONLY
from .live import Down, fetch
from .record import TooLarge, save
from .run import NotTestable, run

_SHOWN_CHANGES = 20


def record(options: argparse.Namespace, dependencies: Dependencies) -> int:
    """Fetches once, and writes a test. Raises ConfigError and BadUsage."""
    output, config = Path(options.output or "pusher_test.yaml"), Path(options.record)
    if options.files:
        raise BadUsage("--record writes a test; run it afterwards: pusher test FILE")
    if "://" in options.record or options.record.startswith("ssm:"):
        raise BadUsage(f"{options.record}: {LOCAL_ONLY}")
    if output.exists() and not options.update:
        raise BadUsage(f"{output} exists: choose another file with -o, or replace it with --update")
    options.config = options.record
    try:
        recorded = fetch(config, options.jobs or (), dependencies, options.timeout)
        outcome = run(recorded.test, config)
        save(config, output, recorded.test, outcome)
    except Down as error:
        return _not_recorded(options, str(error), NOT_DELIVERED)
    except (NotTestable, TooLarge) as error:
        return _not_recorded(options, str(error), BAD)
    except OSError as error:
        return _not_recorded(options, f"{output}: {error.strerror or error}", BAD)
    changed = changes(recorded.samples, outcome.samples)
    lost = list(dict.fromkeys(recorded.masked(str(one.expected or one.actual)) for one in changed))
    answers, samples = len(recorded.test.answers), len(outcome.samples)
    if options.json:
        say_json({"ok": not lost, "file": str(output), "answers": answers, "samples": samples, "changed": lost})
    else:
        found = f"{counted(answers, 'answer')}, {counted(samples, 'sample')}"
        say(f"{output}: {found}; review it, and run: pusher test {output}")
    for line in () if options.json else lost[:_SHOWN_CHANGES]:
        wrong(f"masking the secrets of the answers has changed this sample: {line}")
    return NOT_DELIVERED if lost else OK


def _not_recorded(options: argparse.Namespace, detail: str, status: int) -> int:
    refuse(f"nothing is recorded: {detail}", as_json=options.json)
    return status
