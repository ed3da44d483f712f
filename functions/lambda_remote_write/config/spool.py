"""Reads `spool`: where samples wait that could not be delivered, and what is kept of those that never will be."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .schema import SpoolConfig
from .yaml_reader import Section

MODES = ("on_failure", "always", "off")
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?")


def read(top: Section, env_vars: Mapping[str, str]) -> SpoolConfig:
    """The spool of the file; the variable PUSHER_SPOOL says where it is when the file does not."""
    inherited = env_vars.get("PUSHER_SPOOL", "")
    try:
        _location(inherited)
    except ValueError as error:
        top.diagnostics.refuse_variable("PUSHER_SPOOL", inherited, error)
    default = SpoolConfig(inherited)
    section = top.section("spool", default)
    if section is None:
        return default
    found = SpoolConfig(
        location=section.read("location", _location, "") or inherited,
        mode=section.choice("mode", MODES),
        keeps_rejected=section.choice("rejected", ("drop", "keep"), "keep" if default.keeps_rejected else "drop")
        == "keep",
    )
    if not found.location and found.mode != "off" and not section.is_wrong("location"):
        detail = "s3://BUCKET, s3://BUCKET/PREFIX or a folder (or set PUSHER_SPOOL, as the template does)"
        section.problem("location", f"is required: {detail}")
    section.close()
    return found if found.mode != "off" else SpoolConfig()


def _location(text: str) -> str:
    if text.startswith("s3:") and not _BUCKET.fullmatch(text):
        raise ValueError("a bucket is s3://BUCKET or s3://BUCKET/PREFIX")
    if "://" in text and not text.startswith("s3://"):
        raise ValueError("allowed are s3://BUCKET, s3://BUCKET/PREFIX or a folder")
    return text
