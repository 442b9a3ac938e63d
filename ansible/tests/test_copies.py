"""Copies of the dashboard's database off its machine: the two ends of each way, as they stand on hosts."""

import datetime
import gzip
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import time

import pytest
from conftest import ANSIBLE


@pytest.fixture(scope="module")
def s3_put(tmp_path_factory):
    """The program as it stands on the dashboard's host, as a path."""
    file = tmp_path_factory.mktemp("s3") / "s3_put.py"
    file.write_text((ANSIBLE / "roles/dashboard/templates/s3-put.py.j2").read_text())
    return file


def module_of(file):
    spec = importlib.util.spec_from_file_location("s3_put", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_goes_to_s3_is_signed_as_aws_signs(s3_put):
    from unittest import mock

    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    body, now = b"a copy", datetime.datetime(2026, 12, 1, 10, 20, tzinfo=datetime.timezone.utc)
    host, path = "s3.eu-west-1.amazonaws.com", "/bucket/finals/1020.db.gz"
    ours = module_of(s3_put).signed("eu-west-1", host, path, body, ("KEY", "SECRET", "SESSION"), now)
    request = AWSRequest("PUT", f"https://{host}{path}", data=body)
    with mock.patch("botocore.auth.get_current_datetime", return_value=now.replace(tzinfo=None)), \
            mock.patch.object(S3SigV4Auth, "_should_sha256_sign_payload", return_value=True):
        S3SigV4Auth(Credentials("KEY", "SECRET", "SESSION"), "s3", "eu-west-1").add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]


def test_a_copy_arrives_in_the_bucket_and_a_refusal_is_told(account, s3_put, tmp_path):
    import boto3

    s3 = boto3.client("s3", endpoint_url=account["AWS_URL"], region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")
    s3.create_bucket(Bucket="copies-of-ours")
    (tmp_path / "away.gz").write_bytes(gzip.compress(b"a database"))
    put = lambda place: subprocess.run(
        [sys.executable, s3_put, "us-east-1", place, tmp_path / "away.gz"], env=account, capture_output=True, text=True, timeout=120, check=False,
    )
    done = put("s3://copies-of-ours/lab/1020.db.gz")
    assert done.returncode == 0, done.stderr
    assert gzip.decompress(s3.get_object(Bucket="copies-of-ours", Key="lab/1020.db.gz")["Body"].read()) == b"a database"
    done = put("s3://nobodys/lab/1020.db.gz")
    assert done.returncode == 1 and "S3 says 404 to s3://nobodys" in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_the_host_that_keeps_copies_keeps_a_day_of_them_and_no_more(tmp_path):
    text = (ANSIBLE / "roles/redis/templates/keep-copy.j2").read_text().replace("/var/lib/flowtest-copies", str(tmp_path))
    text = text.replace("{{ redis_copy_mib * 1048576 }}", "1048576").replace("{{ redis_copy_mib * 4 }}", "4").replace("{{ redis_copy_mib }}", "1")
    assert "{{" not in text
    keep = lambda body: subprocess.run(["sh", "-c", text], input=body, capture_output=True, timeout=60, check=False)
    kept = lambda: sorted(file.name for file in tmp_path.iterdir())

    def aged(name, minutes):
        (tmp_path / name).write_bytes(b"old")
        os.utime(tmp_path / name, (time.time() - minutes * 60,) * 2)

    body = gzip.compress(os.urandom(1000))
    aged("flowtest-20200101T000000Z.db.gz", 1445)
    aged("flowtest-20200101T010000Z.db.gz", 1380)
    aged("flowtest-20200101T235000Z.db.gz", 10)
    done = keep(body)
    assert done.returncode == 0 and done.stdout.decode().strip() == hashlib.sha256(body).hexdigest(), done.stderr
    assert kept()[:2] == ["flowtest-20200101T010000Z.db.gz", "flowtest-20200101T235000Z.db.gz"] and len(kept()) == 3
    # Whoever hands in many takes the place of the newest, and of no other.
    assert keep(body).returncode == 0 and len(kept()) == 3
    for bad, words in [(b"nonsense", "gzip"), (os.urandom(1048577), "more than 1 MiB"), (b"", "")]:
        done = keep(bad)
        assert done.returncode != 0 and words in done.stderr.decode(), (done.returncode, done.stderr)
    assert len(kept()) == 3 and all(re.fullmatch(r"flowtest-\d{8}T\d{6}Z\.db\.gz", name) for name in kept())
