"""TODO"""

from __future__ import annotations

NEW_SERIES_LIMITED = "new_series_limited"
"""The reason under which samples of series beyond that limit are dropped."""


LOSSES = ("too_old", "too_far_in_future", "unreadable", NEW_SERIES_LIMITED)
"""Reasons of dropped samples that count as lost: the receiver should have had them."""


IGNORED = "null_ignored"
"""The reason of records whose value is null where `on_missing: ignore` says that this is normal."""
