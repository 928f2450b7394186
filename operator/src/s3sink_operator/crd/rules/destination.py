"""Rules about the bucket. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from s3sink_operator.crd.rules.rule import Rule, matches, object_name, text, word
from s3sink_operator.spec import shapes

_BUCKET = (
    Rule(
        "!self.contains('/')",
        "more than a bucket's name; write the bucket alone and the folder in object.prefix",
    ),
    Rule(
        f"self.contains('/') || ({matches('self', shapes.BUCKET_PATTERN)} && !self.contains('..')"
        f" && !{matches('self', shapes.DOTTED_NUMBERS_PATTERN)})",
        "not a bucket's name; write 3 to 63 of a-z, 0-9, '-' and '.', beginning and ending with a letter or digit,"
        " such as 'the-output-bucket'",
    ),
    Rule(
        f"!self.matches({text('^(' + '|'.join(shapes.RESERVED_STARTS) + ')')})"
        f" && !self.matches({text('(' + '|'.join(shapes.RESERVED_ENDS).replace('.', '[.]') + ')$')})",
        "a name that Amazon S3 keeps for access points, directory buckets and the like; write the name of a general"
        " purpose bucket",
    ),
)
_ENDPOINT = (
    Rule(
        "!self.contains('@')",
        "holds an '@': credentials come from a Secret; write 'https://host:port' and name the Secret in"
        " credentials.secretRef",
    ),
    Rule(
        "self == '' || self.contains('@') || (isURL(self) && !self.matches(':0+(/|$)') &&"
        f" {matches('self', shapes.ENDPOINT_PATTERN)})",
        "not a URL; write one such as 'https://minio.storage.svc:9000'",
    ),
    Rule("!self.matches('[?#\\\\s]')", "more than an endpoint; write 'https://host:port' alone"),
)
_AWS_HOST = "|".join(shapes.AWS_HOSTS).replace(".", "[.]")
_AWS_URL = f"(?i)https?://[^/]*({_AWS_HOST}){shapes.PORT_AND_PATH_PATTERN}"
_AWS = f"(self.endpoint == '' || {matches('self.endpoint', _AWS_URL)})"
_DESTINATION = (
    Rule(
        f"!{_AWS} || {matches('self.region', shapes.AWS_REGION_PATTERN)}",
        "a bucket on AWS needs its region; write one such as 'us-east-1'",
        field=".region",
    ),
    Rule(
        f"self.storageClass == '' || !{_AWS} || self.storageClass in"
        f" [{', '.join(text(name) for name in shapes.STORAGE_CLASSES)}]",
        f"not a storage class of Amazon S3; write one of {', '.join(shapes.STORAGE_CLASSES)}",
        field=".storageClass",
    ),
    Rule(
        f"!(self.bucket.contains('.') && self.addressingStyle == 'Virtual' && {_AWS})",
        "no certificate covers a bucket whose name holds a '.' in the host name; write 'Auto' or 'Path'",
        field=".addressingStyle",
    ),
    Rule(
        "!['http://', 'https://'].exists(s, self.endpoint.startsWith(s + self.bucket + '.'))"
        " && !self.endpoint.endsWith('/' + self.bucket) && !self.endpoint.endsWith('/' + self.bucket + '/')",
        "holds the bucket's name; write the URL without it",
        field=".endpoint",
    ),
)
_ENCRYPTION = (
    Rule(
        "!has(self.kmsKeyId) || (has(self.type) && self.type == 'aws:kms')",
        "needs type 'aws:kms' beside it; write that, or take kmsKeyId out",
        field=".kmsKeyId",
    ),
)

RULES: Final[Mapping[str, tuple[Rule, ...]]] = {
    "destination": _DESTINATION,
    "destination.bucket": _BUCKET,
    "destination.region": (word("region", "us-east-1"),),
    "destination.endpoint": _ENDPOINT,
    "destination.storageClass": (word("storage class", "STANDARD_IA"),),
    "destination.encryption": _ENCRYPTION,
    "destination.encryption.kmsKeyId": (
        Rule(matches("self", "[A-Za-z0-9:/_.-]+"), "not a KMS key; write its ARN, its id or 'alias/name'"),
    ),
    "destination.credentials.secretRef.name": object_name(optional=False),
    "destination.caBundle.secretRef.name": object_name(optional=False),
}
