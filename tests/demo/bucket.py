"""Lists and downloads the objects that the ingester wrote."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class Object:
    key: str
    size: int


def objects(client: S3Client, bucket: str) -> list[Object]:
    """Every object of the bucket, in the order of the keys."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [Object(entry["Key"], entry["Size"]) for page in pages for entry in page.get("Contents", [])]


def download(client: S3Client, bucket: str, found: list[Object], directory: Path) -> None:
    """Copy the objects to `directory`/<key>."""

    def fetch(found: Object) -> None:
        target = directory / found.key
        target.parent.mkdir(parents=True, exist_ok=True)
        client.download_file(bucket, found.key, str(target))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fetch, found))
