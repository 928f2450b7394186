"""Who may send records, and over what: API keys and the certificate, both in mounted Secrets.

`keys` and `der` are pure. `mounted` reads a Secret's directory again when it changes; what can't be used is told and
counted, and what was there before stays. `certificate` is the data port's side of TLS. `Access` is all of it.

No key is kept but as its digest, nor shown: messages name files.
"""

from s3sink_ingester.http.access.access import Access

__all__ = ["Access"]
