"""What samples cost on AMP, and requests to APIs that AWS bills by request: list prices of us-east-1, per month. Other
regions differ; see AWS's price pages."""

from __future__ import annotations

MONTH_SECONDS = 730 * 3600
FREE_SAMPLES = 40_000_000
# (samples up to here, dollars per 10 million of them)
_TIERS = ((2_000_000_000, 0.90), (252_000_000_000, 0.35), (float("inf"), 0.16))
# Dollars for each request: "$0.01 per paginated API request" (AWS Cost Management pricing); "$0.01 per 1,000 metrics
# requested" with GetMetricData, per 1,000 requests otherwise (Amazon CloudWatch pricing).
REQUEST_USD = {"ce": 0.01, "monitoring": 0.01 / 1000}


def requests_per_month(interval_seconds: float) -> int:
    return round(MONTH_SECONDS / interval_seconds)


def samples_per_month(series: int, interval_seconds: float) -> int:
    return round(series * MONTH_SECONDS / interval_seconds)


def ingestion_usd(samples: int) -> float:
    """Dollars for a month's ingested samples, the free ones taken off first."""
    paid, cost, below = max(samples - FREE_SAMPLES, 0), 0.0, 0.0
    for limit, per_ten_million in _TIERS:
        in_tier = min(float(paid), limit) - below
        if in_tier <= 0:
            break
        cost += in_tier / 10_000_000 * per_ten_million
        below = limit
    return round(cost, 2)
