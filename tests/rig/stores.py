"""A bucket on a real S3 server, stores that write to it, and a look into it that doesn't go through them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import botocore.session
from s3sink_ingester.config import AddressingStyle, Destination, Uploads
from s3sink_ingester.disk.real import RealDisk
from s3sink_ingester.objects.s3 import S3Store

from tests.rig.object_store_contract import Subject
from tests.rig.s3servers import CREDENTIALS, REGION, S3Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from botocore.session import Session
    from mypy_boto3_s3 import S3Client
    from s3sink_ingester.disk import Disk

SMALL_PARTS = Uploads(multipart_threshold=5 << 20, part_size=5 << 20)
"""Multipart uploads at the smallest size that S3 takes."""


def session(access_key: str | None = None, secret_key: str | None = None) -> Session:
    """A botocore session with fixed credentials, by default the servers' own: it looks nowhere else for any."""
    made = botocore.session.Session()
    made.set_credentials(
        access_key or CREDENTIALS["AWS_ACCESS_KEY_ID"],
        secret_key or CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )
    return made


@dataclass
class Bucket(Subject):
    """A bucket and a volume to upload from."""

    server: S3Server
    name: str
    disk: Disk
    client: S3Client
    stores: list[S3Store] = field(default_factory=list)

    def destination(self, endpoint: str | None = None, **changes: Any) -> Destination:
        """Settings that lead here; `endpoint` leads through a proxy."""
        settings: dict[str, Any] = {
            "bucket": self.name,
            "region": REGION,
            "endpoint": endpoint or self.server.endpoint,
            "addressing_style": AddressingStyle.PATH,
        }
        return Destination(**settings | changes)

    def new_store(
        self, endpoint: str | None = None, uploads: Uploads = SMALL_PARTS, **options: Any
    ) -> S3Store:
        """A store that writes here, with short timeouts; `options` are S3Store's."""
        defaults: dict[str, Any] = {"session": session(), "connect_timeout": 5.0, "read_timeout": 20.0}
        store = S3Store(self.destination(endpoint), uploads, self.disk, **defaults | options)
        self.stores.append(store)
        return store

    def read(self, key: str) -> bytes | None:
        """The content of an object."""
        try:
            return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None

    def listing(self) -> list[str]:
        """All objects, sorted."""
        return sorted(
            item["Key"] for item in self.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        )

    def unfinished(self) -> list[str]:
        """Ids of multipart uploads that were begun and neither completed nor aborted."""
        uploads = self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])
        return [upload["UploadId"] for upload in uploads]

    def sidecars(self) -> list[str]:
        """Notes about unfinished uploads on the volume."""
        return [name for name in self.disk.listdir("") if name.endswith(".mpu")]


@contextmanager
def new_bucket(server: S3Server, name: str, directory: Path) -> Iterator[Bucket]:
    """Make a bucket, and a volume under `directory`. Connections are closed at the end: servers wait for them."""
    client = server.client()
    client.create_bucket(Bucket=name)
    bucket = Bucket(server, name, RealDisk(str(directory / "volume")), client)
    try:
        yield bucket
    finally:
        for store in bucket.stores:
            store.close()
        client.close()
