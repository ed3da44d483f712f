"""What the stand-in for AWS answers in moto's place is what the services' models allow, and moto lacks it."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from botocore.session import get_session
from botocore.validate import ParamValidator

from tests.rig.aws import Aws
from tests.rig.stack_in_aws import MISSING, StackInAws

GIVEN = {
    "service-quotas": {"ServiceCode": "aps", "QuotaCode": "L-5A151448"},
    "amp": {"workspaceId": "ws-12345678-1234-1234-1234-123456789012"},
}
MORE = {"RequestServiceQuotaIncrease": {"DesiredValue": 5.0}}


def snake(operation: str) -> str:
    """GetAWSDefaultServiceQuota -> get_aws_default_service_quota"""
    words = operation.replace("AWS", "Aws")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in words).lstrip("_")


@pytest.mark.parametrize(("service", "operation"), MISSING, ids=[operation for _, operation in MISSING])
def test_an_answer_has_the_form_of_the_operations_model(service: str, operation: str) -> None:
    shape = get_session().get_service_model(service).operation_model(operation).output_shape
    assert shape is not None
    answer = MISSING[service, operation]
    assert set(answer) <= set(shape.members)
    for name, value in answer.items():
        unknown = set(value) - set(shape.members[name].members)
        assert not unknown
        report = ParamValidator().validate(value, shape.members[name]).generate_report()
        assert "Invalid type" not in report


@pytest.mark.slow
@pytest.mark.parametrize(("service", "operation"), MISSING, ids=[operation for _, operation in MISSING])
def test_moto_lacks_it(service: str, operation: str) -> None:
    given = GIVEN[service] | MORE.get(operation, {})
    with StackInAws() as aws:
        getattr(aws.client(service), snake(operation))(**given)
    with Aws() as moto, pytest.raises(ClientError):
        getattr(moto.client(service), snake(operation))(**given)
