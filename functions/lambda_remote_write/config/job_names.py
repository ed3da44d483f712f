"""Reads `job_name`: what names a job in samples, in reports and in a backfill, and is its own in a file."""

from __future__ import annotations

from .yaml_reader import Section


def read(entry: Section, taken: set[str]) -> str:
    """The name of a job; `taken` holds the names of other jobs, and gets this one."""
    name = entry.required("job_name")
    if name and name in taken:
        entry.problem("job_name", f"{name!r} is the name of another job; job names are unique")
    taken.add(name)
    return name
