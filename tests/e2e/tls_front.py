"""Runs in a pod of the tests: TLS in front of a server that has none. ``tls_front.py PORT HOST PORT CERTIFICATE KEY``.

Standard library alone. Bytes are passed on as they come, in both directions, until one side ends.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from contextlib import closing, suppress

_BLOCK = 1 << 16


async def serve(port: int, host: str, behind: int, context: ssl.SSLContext) -> None:
    """For ever."""

    async def front(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(OSError):
            back_reader, back_writer = await asyncio.open_connection(host, behind)
            with closing(back_writer):
                ways = {
                    asyncio.create_task(pass_on(reader, back_writer)),
                    asyncio.create_task(pass_on(back_reader, writer)),
                }
                _, others = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for one in others:
                    one.cancel()

    server = await asyncio.start_server(front, "", port, ssl=context)
    await server.serve_forever()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until there is no more."""
    with suppress(OSError):
        while block := await reader.read(_BLOCK):
            writer.write(block)
            await writer.drain()


if __name__ == "__main__":
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(sys.argv[4], sys.argv[5])
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), made))
