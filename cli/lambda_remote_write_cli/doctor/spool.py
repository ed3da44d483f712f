"""The spool: can an object be written, read, listed and deleted there?"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from lambda_remote_write.config.sd_configs import S3_SCHEME
from lambda_remote_write.store import NotStored, Store, StoreError

from .examination import Examination
from .findings import Check, Finding, failed, ok

_PREFIX = "state/doctor-"  # a role may write there; no run reads a name below state/ that is not a shard's
_CONTENT = b"written by pusher doctor, which deletes it again\n"


def checks(examination: Examination) -> list[Check]:
    location = examination.config.spool.location
    if location:
        return [Check(f"spool {location}", lambda deadline: [_probe(location, examination, deadline)])]
    if examination.stack is not None and not examination.stack.status:
        return []  # the stack will make one
    detail = "none: samples that cannot be delivered are lost (a stack makes one: parameter Spool)"
    return [Check("spool", lambda _: [ok("spool", detail)])]


def _probe(location: str, examination: Examination, deadline: float) -> Finding:
    check, store = f"spool {location}", examination.dependencies.store(location)
    key = f"{_PREFIX}{secrets.token_hex(4)}"
    steps = {
        "written": lambda: store.put(key, _CONTENT, deadline),
        "read": lambda: _read_back(store, key, deadline),
        "listed": lambda: _listed(store, key, deadline),
        "deleted": lambda: store.delete(key, deadline),
    }
    done: list[str] = []
    for step, act in steps.items():
        problem = _problem(act)
        if problem:
            left = f"; delete {key} by hand" if step == "deleted" else ""
            if step in ("read", "listed"):
                _problem(steps["deleted"])
            return failed(check, f"an object cannot be {step}: {problem}", f"{_fix(location)}{left}")
        done.append(step)
    return ok(check, f"an object was {', '.join(done[:-1])} and {done[-1]}")


def _fix(location: str) -> str:
    if location.startswith(S3_SCHEME):
        may = "does the bucket exist in this region and account, and may you do that?"
        return f"{may} pusher iam prints the functions' statements"
    return "may you write into this folder, and is it one? A Lambda keeps its spool in S3"


def _problem(act: Callable[[], object]) -> str:
    try:
        act()
    except NotStored as error:
        return f"{error}"
    except StoreError as error:
        return str(error)
    except ValueError as error:  # a path that no file can have
        return str(error)
    return ""


def _read_back(store: Store, key: str, deadline: float) -> None:
    """Raises StoreError."""
    found = store.get(key, deadline)
    if found is None or found.content != _CONTENT:
        raise StoreError("it came back changed")


def _listed(store: Store, key: str, deadline: float) -> None:
    """Raises StoreError."""
    if key not in store.list(key, deadline):
        raise StoreError("a listing does not have it")
