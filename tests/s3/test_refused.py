"""A store that refuses our credentials: nothing is lost, records go on being taken, and /status says what S3 said."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.rig.flaky_proxy import Fault, flaky_proxy
from tests.rig.ingester import Ingester, s3_destination, story_settings
from tests.rig.s3servers import CREDENTIALS
from tests.rig.stores import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterator

WRONG_SECRET = {**CREDENTIALS, "AWS_SECRET_ACCESS_KEY": "mistyped"}
UNKNOWN_KEY = {**CREDENTIALS, "AWS_ACCESS_KEY_ID": "nobody"}


@contextmanager
def serving(
    directory: Path, settings: dict[str, Any], credentials: Mapping[str, str] = CREDENTIALS
) -> Iterator[Ingester]:
    ingester = Ingester(directory, settings, credentials=credentials)
    ingester.start()
    try:
        yield ingester
    finally:
        ingester.stop_if_running()


def told(ingester: Ingester) -> dict[str, Any]:
    """What /status says of the destination, once there was an attempt to reach it."""

    def tried() -> bool:
        return ingester.status().raw["destination"]["ok"] is not None

    ingester.process.wait_until(tried, "trying the destination")
    said: dict[str, Any] = ingester.status().raw["destination"]
    return said


def send(ingester: Ingester, body: bytes) -> int:
    with urllib.request.urlopen(f"{ingester.data_url}/", data=body, timeout=30.0) as response:
        return int(response.status)


def figure(ingester: Ingester, name: str) -> str:
    with urllib.request.urlopen(f"{ingester.admin_url}/metrics", timeout=30.0) as response:
        lines: list[str] = response.read().decode().splitlines()
    return next(line.rpartition(" ")[2] for line in lines if line.startswith(name))


def test_static_credentials_that_are_wrong(versity_bucket: Bucket, tmp_path: Path) -> None:
    settings = story_settings(tmp_path, s3_destination(versity_bucket.server.endpoint, versity_bucket.name))
    # versitygw has words of its own for what S3 calls InvalidAccessKeyId.
    expected = [(WRONG_SECRET, "SignatureDoesNotMatch: "), (UNKNOWN_KEY, "XAdminUserNotFound: ")]
    for number, (credentials, words) in enumerate(expected, start=1):
        with serving(tmp_path, settings, credentials) as ingester:
            said = told(ingester)
            assert (said["ok"], said["lastErrorReason"]) == (False, "bad_credentials")
            assert words in said["lastError"], "the store's own code and message"
            assert "(HTTP 40" in said["lastError"]
            assert credentials["AWS_SECRET_ACCESS_KEY"] not in ingester.log.read_text()
            assert send(ingester, b"LAX hello") == 200, "there is room: records are taken"
            assert ingester.ready()
            assert ingester.status().raw["bufferedRecords"] == number
            assert figure(ingester, "s3sink_destination_up") == "0.0"
    # As an operator rolls pods when their Secret changes: the same volume with credentials that are good.
    with serving(tmp_path, settings) as ingester:
        assert told(ingester)["ok"] is True
        assert ingester.drain().uploaded_records == len(expected)
    assert len(versity_bucket.listing()) == len(expected), "one of each start"


def test_a_right_that_is_missing(versity_bucket: Bucket, tmp_path: Path) -> None:
    with flaky_proxy(versity_bucket.server.endpoint) as proxy:
        proxy.decide = lambda request: Fault.FORBIDDEN
        settings = story_settings(tmp_path, s3_destination(proxy.endpoint, versity_bucket.name))
        with serving(tmp_path, settings) as ingester:
            said = told(ingester)
            assert (said["ok"], said["lastErrorReason"]) == (False, "access_denied")
            assert "AccessDenied" in said["lastError"]
            operations = {request.operation for request in proxy.requests}
            assert operations == {"CreateMultipartUpload"}, "the check asks for what an upload needs"
        proxy.decide = lambda request: None
        with serving(tmp_path, settings) as ingester:
            assert told(ingester)["ok"] is True
            assert send(ingester, b"LAX hello") == 200
            assert ingester.drain().uploaded_records == 1
            operations = {request.operation for request in proxy.requests}
            assert operations == {"CreateMultipartUpload", "AbortMultipartUpload", "PutObject"}, (
                "docs/permissions.md says which rights these need"
            )
