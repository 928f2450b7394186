"""The contract of an object store on real S3 servers, and on one that knows neither optional header."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from s3sink_ingester.config import Uploads
from s3sink_ingester.objects.s3 import S3Store

from tests.rig.flaky_proxy import Fault, FlakyProxy, Request, flaky_proxy
from tests.rig.object_store_contract import ObjectStoreContract, Subject
from tests.rig.stores import SMALL_PARTS, Bucket


class TestS3(ObjectStoreContract):
    """Single PUTs, and uploads in parts from 5 MiB."""

    @pytest.fixture
    def subject(self, bucket: Bucket) -> Subject:
        return bucket


class OldStore(Bucket):
    """Behind a proxy that refuses what old S3-compatible stores don't know."""

    can_tell = False
    proxy: FlakyProxy

    def new_store(
        self, endpoint: str | None = None, uploads: Uploads = SMALL_PARTS, **options: Any
    ) -> S3Store:
        return super().new_store(endpoint or self.proxy.endpoint, uploads, **options)


def refuse_optional_headers(request: Request) -> Fault | None:
    optional = ("if-none-match", "x-amz-checksum-sha256", "x-amz-checksum-algorithm")
    return Fault.NOT_IMPLEMENTED if any(header in request.headers for header in optional) else None


class TestS3WithoutOptionalHeaders(ObjectStoreContract):
    """Objects are overwritten with the same bytes there."""

    @pytest.fixture
    def subject(self, bucket: Bucket) -> Iterator[Subject]:
        with flaky_proxy(bucket.server.endpoint) as proxy:
            proxy.decide = refuse_optional_headers
            old = OldStore(bucket.server, bucket.name, bucket.disk, bucket.client)
            old.proxy = proxy
            old.stores = bucket.stores
            yield old
