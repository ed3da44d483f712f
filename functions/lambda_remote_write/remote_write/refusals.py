"""The table of refusals, refusals.yaml: only the explanation of a refusal depends on it. Read at the first refusal."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

_TABLE = Path(__file__).with_name("refusals.yaml")
_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
AGE_ADVICE = "lower queue_config.sample_age_limit so that such samples are kept under dead/ instead"
"""What helps when the samples of a schedule come too late."""
_QUOTA = re.compile(r"\{raise (L-\w+)\}")
_OF_AMP = re.compile(r"; AMP's limit is [^;]*| \(AMP: [^)]*\)")
_AWS_COMMAND = re.compile(r"aws (?:amp|service-quotas) [^;]*")

OUT_OF_ORDER = frozenset({"sample-out-of-order", "sample-too-old"})
TOO_LATE = OUT_OF_ORDER | {"greater_than_max_sample_age", "new-value-for-timestamp"}
"""Reasons of samples that would have been in order when they were scraped."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer with one of the `statuses` whose text contains all `words`. `reason` counts refused samples; `meaning`
    and `help` may contain {workspace}, {region}, {resource} and {skew}."""

    statuses: tuple[int, ...]
    words: tuple[str, ...]
    reason: str
    meaning: str
    help: str


@functools.cache
def refusals(*, is_amp: bool) -> tuple[Refusal, ...]:
    """The table in the order in which it is searched. A receiver that is not AMP gets advice about its own settings
    instead of AWS's commands and limits."""
    table = yaml.load(_TABLE.read_text("utf-8"), _Loader)  # noqa: S506 - one of the safe loaders
    phrases: dict[str, str] = table["phrases"] | {"age_advice": AGE_ADVICE}
    if not is_amp:
        phrases["widen"] = phrases["widen_elsewhere"]

    def filled(text: str) -> str:
        for name, phrase in phrases.items():
            text = text.replace(f"{{{name}}}", phrase)
        text = _QUOTA.sub(lambda quota: phrases["raise"].replace("{code}", quota[1]), text)
        return text if is_amp else _OF_AMP.sub("", _AWS_COMMAND.sub("raise the receiver's own limit", text))

    return tuple(
        Refusal(
            tuple(one.get("statuses", (400, 422))),
            tuple(text.split(" … ")),
            one["reason"],
            filled(one["meaning"]),
            filled(one.get("help", "")),
        )
        for one in table["refusals"]
        for text in one["texts"]
    )
