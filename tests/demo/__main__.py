"""The demo: three million flights go through HTTP, a kill -9 and S3, and every one is found again once.

Run by `make demo`. Everything runs on loopback in a temporary directory; nothing is left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import signal
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import aiohttp
from tqdm import tqdm

from tests.demo import bucket, flights, sending
from tests.rig.ingester import Ingester, Status, s3_destination, story_settings
from tests.rig.processes import ProcessError
from tests.rig.s3servers import moto

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "the-output-bucket"
SINGLES = 10_000  # messages sent one a request; the others go in batches
BATCH = 1_000
CONNECTIONS = 8
SHOWN = 6  # rows of each list


def main() -> int:
    """Exit codes: 0 sent = found, 1 not so, 2 something needed is missing, 130 interrupted."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that the servers are stopped
    started = time.monotonic()
    try:
        with step("Data: flights within the USA (npm's vega-datasets)"):
            flights.install()
            records = flights.Flights(options.records)
        equal = demonstrate(records)
    except flights.DataMissingError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    except (ProcessError, sending.RefusedError, aiohttp.ClientError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "Query interrupted" not in str(error):
            raise  # DuckDB's word for Ctrl-C in the middle of a query is a RuntimeError
        print("\nInterrupted; everything is stopped.", file=sys.stderr)
        return 130
    print(f"\nDone in {time.monotonic() - started:.0f} s; servers stopped, temporary files removed.")
    return 0 if equal else 1


def demonstrate(records: flights.Flights) -> bool:
    """Start both servers, send, kill, drain and count; whether what was found is what was sent."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="s3sink-demo-")))
        with step("Servers: moto as S3, and the ingester with this settings.yaml"):
            server = stack.enter_context(moto(directory))
            client = server.client()
            client.create_bucket(Bucket=BUCKET)
            settings = story_settings(directory, s3_destination(server.endpoint, BUCKET))
            ingester = Ingester(directory, settings)
            stack.callback(ingester.stop_if_running)
            ingester.start()
        print_settings(ingester)
        post_all(ingester, records)
        drain(ingester, records.total)
        found = bucket.objects(client, BUCKET)
        print_objects(found)
        with step("Count: DuckDB reads the objects"):
            bucket.download(client, BUCKET, found, directory / "objects")
            counted = flights.shards_in(directory / "objects")
        return compare(records.shards(), counted)


def post_all(ingester: Ingester, records: flights.Flights) -> None:
    """Send every record, with a kill -9 when half of them are acknowledged and none is uploaded."""
    singles = min(SINGLES, records.total // 2)
    half = max(singles, records.total // 2)
    print(f"\nPost {records.total:,} records: {singles:,} one by one, the others {BATCH:,} to a request")
    with progress_bar(records.total) as progress:
        first = itertools.chain(single_requests(records, singles), batch_requests(records, singles, half))
        asyncio.run(sending.send(ingester.data_url, first, CONNECTIONS, progress.update))
        ingester.kill()
        recovery = ingester.start()
        kept = ingester.status().accepted_records
        tqdm.write(
            f"  kill -9 after {half:,} acknowledged records; started again in {recovery:.1f} s with {kept:,}"
        )
        second = batch_requests(records, half, records.total)
        asyncio.run(sending.send(ingester.data_url, second, CONNECTIONS, progress.update))


def single_requests(records: flights.Flights, stop: int) -> Iterator[sending.Request]:
    return (sending.Request(sending.SINGLE, 1, body) for body in records.messages(0, stop))


def batch_requests(records: flights.Flights, start: int, stop: int) -> Iterator[sending.Request]:
    return (
        sending.Request(sending.LINES, count, body) for count, body in records.batches(start, stop, BATCH)
    )


def drain(ingester: Ingester, total: int) -> None:
    """What the operator does before it removes a pod: everything is sealed and uploaded."""
    print("\nDrain: seal every chunk and upload it")
    uploaded = 0
    with progress_bar(total) as progress:

        def show(status: Status) -> None:
            nonlocal uploaded
            progress.update(status.uploaded_records - uploaded)
            uploaded = status.uploaded_records

        ingester.drain(progress=show)


def progress_bar(total: int) -> tqdm[NoReturn]:
    """A bar of records on a terminal; nothing where standard error goes to a file or a pipe."""
    return tqdm(total=total, unit=" records", unit_scale=True, ncols=100, disable=None)


def print_settings(ingester: Ingester) -> None:
    for line in ingester.settings_file.read_text().splitlines():
        print(f"    {line}")


def print_objects(found: list[bucket.Object]) -> None:
    size = sum(entry.size for entry in found)
    print(f"\nObjects: {len(found):,} in s3://{BUCKET}, {size / 2**20:,.1f} MiB")
    for entry in sorted(found, key=lambda entry: -entry.size)[:SHOWN]:
        print(f"    {entry.size:>10,}  {entry.key}")
    if len(found) > SHOWN:
        print(f"    {'...':>10}")


def compare(sent: dict[str, flights.Shard], found: dict[str, flights.Shard]) -> bool:
    """Print sent and found per shard, wrong ones first, and the total; whether all are equal."""
    wrong = {shard for shard in sent.keys() | found.keys() if sent.get(shard) != found.get(shard)}
    nothing = flights.Shard(0, 0)
    by_size = sorted(
        sent.keys() | found.keys(), key=lambda shard: (shard not in wrong, -sent.get(shard, nothing).records)
    )
    print(f"    {'shard':<8}{'sent':>12}{'found':>12}")
    for shard in by_size[:SHOWN]:
        row = sent.get(shard, nothing).records, found.get(shard, nothing).records
        print(f"    {shard:<8}{row[0]:>12,}{row[1]:>12,}{'  DIFFERENT' if shard in wrong else ''}")
    if len(by_size) > SHOWN:
        print(f"    {'...':<8}{f'{len(by_size) - SHOWN} more shards':>24}")
    totals = [sum(shard.records for shard in side.values()) for side in (sent, found)]
    print(f"    {'total':<8}{totals[0]:>12,}{totals[1]:>12,}")
    if wrong:
        print(f"\nSENT AND FOUND DIFFER in {len(wrong)} of {len(by_size)} shards")
    else:
        print(f"\nsent = found: every record once, contents equal in all {len(by_size)} shards")
    return not wrong


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step, then say how long it took."""
    print(f"\n{title} ", end="", flush=True)
    started = time.monotonic()
    yield
    print(f"[{time.monotonic() - started:.1f} s]")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--records", type=int, help="how many flights to send (default: all 3 million)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
