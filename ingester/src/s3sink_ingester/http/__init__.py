"""The data port and the admin port: bytes in, records to the intake, replies out.

`heads`, `chunked`, `protocol`, `responses` and `native` are pure: bytes in, values out; no asyncio, clock or socket.
`connection` is one client connection as an `asyncio.Protocol`, `deadlines` (pure) how long its client may take for
what, `port` what connections share; `server` is the listener, the sweep that does every timeout, and the end. `access`
says who may send, and does TLS. Errors become replies here and nowhere else.

The way of a request: `RequestParser` finds the head, the head is resolved once to an `Endpoint` (kept on the
memoised head), `Endpoint.route` makes batches of the body, the intake makes them durable, and only then is
the reply written. Replies leave in the order of the requests, whatever was ready first.
"""
