"""A password is tried once a run, and after three refusals every ten minutes, so that its account is not locked."""

from __future__ import annotations

import pytest

from lambda_remote_write.config.secrets import SecretStore
from lambda_remote_write.http.attempts import Attempts


class Rig:
    """Attempts, and the clock that they read."""

    def __init__(self) -> None:
        self.now = 5000.0
        self.secrets = SecretStore({}, lambda service: None, lambda: self.now)
        self.attempts = Attempts(self.secrets)

    def after(self, seconds: float) -> str:
        self.now += seconds
        return self.attempts.reason_to_wait()


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_the_first_attempt_waits_for_nothing(rig: Rig) -> None:
    assert rig.after(0) == ""


@pytest.mark.parametrize("is_refusal", [True, False])
def test_a_failure_serves_for_its_run(rig: Rig, is_refusal: bool) -> None:
    rig.secrets.begin_run()
    rig.now += 1
    assert rig.attempts.failed("no", is_refusal=is_refusal) == "no"
    assert rig.after(200) == "no"
    rig.secrets.begin_run()
    assert rig.after(0) == ""


def test_where_there_are_no_runs_a_failure_serves_for_half_a_minute(rig: Rig) -> None:
    rig.attempts.failed("no", is_refusal=False)
    assert rig.after(29) == "no"
    assert rig.after(2) == ""


def test_without_an_answer_one_with_clearly_more_time_tries_again(rig: Rig) -> None:
    rig.secrets.begin_run()
    rig.attempts.failed("no answer", is_refusal=False, had_seconds=4)
    assert [rig.attempts.reason_to_wait(left) for left in (0.5, 4, 5, 5.1)] == ["no answer"] * 3 + [""]
    rig.attempts.failed("no", is_refusal=False)
    assert rig.attempts.reason_to_wait(60) == "no"


def test_after_three_refusals_in_a_row_ten_minutes_pass(rig: Rig) -> None:
    for _ in range(2):
        rig.attempts.failed("no", is_refusal=True)
        assert rig.after(31) == ""
    assert rig.attempts.failed("no", is_refusal=True).endswith("the next try is in 10m")
    assert rig.after(120).endswith("the next try is in 8m")
    assert rig.after(479).endswith("the next try is in 1m")
    assert rig.after(2) == ""
    assert "refused 4 times in a row" in rig.attempts.failed("no", is_refusal=True)
    assert rig.after(599) != ""


def test_other_failures_do_not_count_and_a_success_begins_anew(rig: Rig) -> None:
    for _ in range(5):
        rig.attempts.failed("down", is_refusal=False)
    assert rig.after(31) == ""
    for _ in range(2):
        rig.attempts.failed("no", is_refusal=True)
    rig.attempts.succeeded()
    assert rig.attempts.failed("no", is_refusal=True) == "no"
    assert rig.after(31) == ""
