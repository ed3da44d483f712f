"""`make cost`: what a month costs here and with a collector, at us-east-1 list prices, free tiers left out.

AMP's own charge for samples is the same for every sender; `pusher plan CONFIG` prints it for a config.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HOURS = 730
RUNS_PER_MONTH = HOURS * 60  # one push a minute

# Dollars, per unit as named.
LAMBDA_GB_SECOND_ARM = 0.0000133334
LAMBDA_REQUEST = 0.20 / 1_000_000
SCHEDULER_INVOCATION = 1.00 / 1_000_000
CUSTOM_METRIC_MONTH = 0.30
ALARM_MONTH = 0.10
METRICS_INSIGHTS_ALARM_METRIC_MONTH = 0.10  # for each metric that its query analyses
LOG_GB = 0.50
S3_GET = 0.0004 / 1000
S3_PUT = 0.005 / 1000  # a listing costs as much
INTERFACE_ENDPOINT_AZ_HOUR = 0.01
NAT_GATEWAY_HOUR = 0.045
PUBLIC_IPV4_HOUR = 0.005
T4G_NANO_HOUR = 0.0042
GP3_GB_MONTH = 0.08
FARGATE_ARM_VCPU_HOUR, FARGATE_ARM_GB_HOUR = 0.03238, 0.00356
MANAGED_COLLECTOR_HOUR = 0.04

MEMORY_GB = 0.25
METRICS, ALARMS, QUERIES = 4, 5, 8  # of template.yaml, as its parameters stand
ALL_METRICS, ALARMS_WITHOUT_METRICS = 13, 2  # Metrics=all, with the spool; Metrics=none
BACKFILL_ALARMS = 2  # of the state machine, with AlarmTopicArn
STATE_WRITES_PER_MONTH = HOURS * 6  # every ten minutes
LISTINGS = 2  # with each of them: of one endpoint's entries, and of the endpoints that have any
DASHBOARD_MONTH = 3.00
AMP_BILLION_QUERY_SAMPLES = 0.10
RULES, SAMPLES_PER_RULE = 22, 1_000  # of rules/; with one shard and 50 targets they read fewer, every minute
LOG_BYTES_PER_RUN = 3_000  # one report line, one metrics line and Lambda's own


@dataclass(frozen=True, slots=True)
class Line:
    what: str
    dollars: float


def pusher(run_seconds: float) -> list[Line]:
    """The stack of template.yaml at one push a minute, each of `run_seconds`."""
    compute = RUNS_PER_MONTH * (run_seconds * MEMORY_GB * LAMBDA_GB_SECOND_ARM + LAMBDA_REQUEST)
    s3 = RUNS_PER_MONTH * S3_GET + (1 + LISTINGS) * STATE_WRITES_PER_MONTH * S3_PUT
    return [
        Line(f"Lambda, arm64, 256 MB, {run_seconds:g} s a minute", compute),
        Line("EventBridge Scheduler", RUNS_PER_MONTH * SCHEDULER_INVOCATION),
        Line(f"CloudWatch, {METRICS} metrics", METRICS * CUSTOM_METRIC_MONTH),
        Line(f"CloudWatch, {ALARMS} alarms", ALARMS * ALARM_MONTH),
        Line("CloudWatch, logs", RUNS_PER_MONTH * LOG_BYTES_PER_RUN / 1e9 * LOG_GB),
        Line(f"CloudWatch, {QUERIES} saved queries, until one is run", 0),
        Line("S3, state and listings of the spool", s3),
    ]


def options() -> list[Line]:
    """What parameters and config change in the price of the stack."""
    state_writes = (RUNS_PER_MONTH - (1 + LISTINGS) * STATE_WRITES_PER_MONTH) * S3_PUT  # and nothing is listed
    none = METRICS * CUSTOM_METRIC_MONTH + (ALARMS - ALARMS_WITHOUT_METRICS) * ALARM_MONTH
    rules = RULES * SAMPLES_PER_RULE * RUNS_PER_MONTH / 1e9 * AMP_BILLION_QUERY_SAMPLES
    return [
        Line("a job with `backfill`, whose state is written every run", state_writes),
        Line(
            f"`Metrics` = `all`, {ALL_METRICS} metrics instead of {METRICS}",
            (ALL_METRICS - METRICS) * CUSTOM_METRIC_MONTH,
        ),
        Line(f"`Metrics` = `none`, {ALARMS_WITHOUT_METRICS} alarms", -none),
        Line(f"`AlarmTopicArn`, {BACKFILL_ALARMS} alarms of the state machine", BACKFILL_ALARMS * ALARM_MONTH),
        Line("`DiscardedSamplesAlarm`, for each metric that it analyses", METRICS_INSIGHTS_ALARM_METRIC_MONTH),
        Line("`Dashboard`, one of CloudWatch", DASHBOARD_MONTH),
        Line(f"AMP rules, {RULES} over {SAMPLES_PER_RULE:,} samples every minute", rules),
    ]


def collector() -> list[Line]:
    """The smallest host that runs a collector, with a public address and its disk."""
    return [
        Line("EC2 t4g.nano", HOURS * T4G_NANO_HOUR),
        Line("public IPv4 address", HOURS * PUBLIC_IPV4_HOUR),
        Line("gp3 disk, 8 GB", 8 * GP3_GB_MONTH),
    ]


def others() -> list[Line]:
    fargate = HOURS * (0.25 * FARGATE_ARM_VCPU_HOUR + 0.5 * FARGATE_ARM_GB_HOUR + PUBLIC_IPV4_HOUR)
    return [
        Line("collector on Fargate, arm64, 0.25 vCPU, 0.5 GB, public IPv4", fargate),
        Line("AMP managed collector, before its charge per sample", HOURS * MANAGED_COLLECTOR_HOUR),
    ]


def in_a_vpc() -> list[Line]:
    """What a VPC without internet access adds, for this sender and for a collector alike."""
    return [
        Line("interface endpoint aps-workspaces, one AZ", HOURS * INTERFACE_ENDPOINT_AZ_HOUR),
        Line("NAT gateway instead, one AZ, before traffic", HOURS * NAT_GATEWAY_HOUR),
    ]


def total(lines: Sequence[Line]) -> float:
    return sum(line.dollars for line in lines)


def break_even_seconds() -> float:
    """How long a run may take, every minute, before the t4g.nano is cheaper."""
    per_second = RUNS_PER_MONTH * MEMORY_GB * LAMBDA_GB_SECOND_ARM
    return (total(collector()) - total(pusher(0))) / per_second


def table() -> str:
    """The whole comparison as a Markdown table; README shows it as it is printed."""
    rows = ["| a month, us-east-1 | dollars |", "|---|--:|"]
    rows += [f"| {line.what} | {line.dollars:.2f} |" for line in pusher(1)]
    rows.append(f"| **this stack** | **{total(pusher(1)):.2f}** |")
    rows += [f"| with {line.what} | {line.dollars:+.2f} |" for line in options()]
    with_backfill, without_metrics = options()[0], options()[2]
    rows.append(f"| **this stack, with a job with `backfill`** | **{total([*pusher(1), with_backfill]):.2f}** |")
    rows.append(f"| **this stack, without metrics** | **{total([*pusher(1), without_metrics]):.2f}** |")
    rows += [f"| {line.what} | {line.dollars:.2f} |" for line in collector()]
    rows.append(f"| **collector on the smallest host** | **{total(collector()):.2f}** |")
    rows += [f"| {line.what} | {line.dollars:.2f} |" for line in others()]
    rows += [f"| in a VPC: {line.what} | {line.dollars:.2f} |" for line in in_a_vpc()]
    rows.append(
        f"| a run may take this many seconds, every minute, before the host is cheaper | {break_even_seconds():.0f} |"
    )
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
