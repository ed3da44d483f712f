"""The JSON Schema of a config, for editors. `make docs` writes it.

Draft 7, which every editor with YAML schemas reads. What stands beside a `$ref` describes the key: editors show it, and
validators pass over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambda_remote_write.config import unsupported_keys
from lambda_remote_write.config.sd_configs import REFUSED
from lambda_remote_write.report.printable import json_text
from lambda_remote_write_cli.schema import FILE

from .config_keys import Key, Section, included, keys_of, load, plain
from .config_types import TEXT_MAPS, Schema, list_of, literal, schema_of

IGNORED = {"top": unsupported_keys.IGNORED_TOP_LEVEL, "global": unsupported_keys.IGNORED_GLOBAL}
"""Keys that only a server can use: a prometheus.yml loads with them, with a warning."""
REFUSED_KEYS: dict[str, Mapping[str, str]] = {
    "top": unsupported_keys.TOP_LEVEL,
    "json_job": unsupported_keys.JOB | REFUSED,
    "scrape_job": unsupported_keys.SCRAPE_JOB | REFUSED,
    "metric": unsupported_keys.METRIC,
    "remote_write": unsupported_keys.REMOTE_WRITE,
    "backfill_server": unsupported_keys.OF_SOURCES,
}
"""Keys of other programs, with what to write instead."""


def document() -> Schema:
    """The whole schema."""
    sections = load()
    maps = {name: section for name, section in sections.items() if name not in included(sections)}
    nullable = {kind["section"] for name in maps for kind in _types(sections, name) if "section" in kind}
    made = {name: _map(sections, section, name in nullable) for name, section in maps.items()}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "lambda-remote-write",
        "$comment": "Written by make docs.",
        **made.pop("top"),
        "definitions": made | TEXT_MAPS,
    }


def _types(sections: Mapping[str, Section], name: str) -> list[dict[str, Any]]:
    """The types of a section's keys that are maps in the declaration."""
    return [key.type for key in keys_of(sections, name) if isinstance(key.type, dict)]


def _map(sections: Mapping[str, Section], section: Section, nullable: bool) -> Schema:
    keys = list(keys_of(sections, section.name))
    properties = {key.name: _property(key) for key in keys}
    properties |= {name: _ignored(why) for name, why in IGNORED.get(section.name, {}).items()}
    properties |= {name: _refused(why) for name, why in REFUSED_KEYS.get(section.name, {}).items()}
    found: Schema = {
        "type": ["object", "null"] if nullable else "object",
        "properties": properties,
        "additionalProperties": False,
    }
    if required := [key.name for key in keys if key.row.is_required]:
        found["required"] = required
    if section.needs:
        found["allOf"] = [{"anyOf": [{"required": [name]} for name in names]} for names in section.needs]
    return found


def _property(key: Key) -> Schema:
    found = schema_of(key.type)
    if key.row.is_required and found.get("type") == list_of({})["type"]:
        found |= {"type": "array", "minItems": 1}
    if key.default and not (isinstance(key.type, dict) and "section" in key.type):
        found["default"] = literal(key.type, key.default)
    return {"description": key.description, **found}


def _ignored(why: str) -> Schema:
    return {"description": f"Ignored: {why}.", "deprecated": True, "doNotSuggest": True}


def _refused(why: str) -> Schema:
    return {"description": plain(why), "not": {}, "deprecationMessage": why, "doNotSuggest": True}


def text() -> str:
    """The file."""
    return f"{json_text(document(), indent=2)}\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
