"""The Kubernetes API, and nothing that knows what a sink needs.

`apiserver` is the only importer of the client and turns its errors into ours; `cluster` reads and applies objects,
`watch` follows metadata, `leader` holds a Lease, `paths` and `recorder` are the pure parts of it.
"""
