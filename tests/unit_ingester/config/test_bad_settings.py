"""Each bad setting: the one problem that is told, word for word, at the path that was written."""

import pytest
from s3sink_ingester.config import loads
from s3sink_ingester.config.strangers import NO_CREDENTIALS
from s3sink_ingester.errors import ConfigError, Problem

GOOD = {
    "destination.bucket": "events",
    "destination.region": "eu-central-1",
    "partitioning.regex": r"'^(?P<path>\S+) (?P<content>.+)$'",
}
TO_DIRECTORY: dict[str, str | None] = {"destination.bucket": None, "destination.region": None}
SIZE = "write a number of bytes or a size such as '25Mi'"
BUCKET = (
    "is not a bucket's name; write 3 to 63 of a-z, 0-9, '-' and '.', beginning and ending with a letter or digit,"
    " such as 'the-output-bucket'"
)
NAME = (
    "can't begin an object's name; write 1 to 63 of letters, digits, '.', '_' and '-', beginning and ending with a"
    " letter or digit"
)
OPERATORS = "belongs to the S3Sink, not to the ingester's settings; take it out"
BUCKETS_ONLY = "only a bucket has it; take it out, or set bucket and not path"
ONE_KEY = "needs regex, jsonPointers, header or urlPath to find a record's key"

# path, its value in YAML, message
FIELDS = [
    # the process
    ("name", "a/b", f"'a/b' {NAME}"),
    ("name", "-x", f"'-x' {NAME}"),
    ("name", "a" * 64, f"'{'a' * 64}' {NAME}"),
    ("name", "17", "expected text, not the number 17; put it in quotes: '17'"),
    ("name", "", "has no value; write one or take the line out"),
    ("workers", "0", "0 is out of range; write a whole number from 1 to 64"),
    ("workers", "'4'", "'4' is text; write the number without quotes"),
    ("workers", "1.5", "expected a whole number, not the number 1.5; write a whole number from 1 to 64"),
    ("workers", "true", "expected a whole number, not the word true; write a whole number from 1 to 64"),
    ("workers", "auto", "expected a whole number, not 'auto'; write a whole number from 1 to 64"),
    # destination
    ("destination.bucket", "Events", f"'Events' {BUCKET}"),
    ("destination.bucket", "my_bucket", f"'my_bucket' {BUCKET}"),
    ("destination.bucket", "ab", f"'ab' {BUCKET}"),
    ("destination.bucket", "a..b", f"'a..b' {BUCKET}"),
    ("destination.bucket", "10.0.0.1", f"'10.0.0.1' {BUCKET}"),
    ("destination.bucket", "xn--events", f"'xn--events' {BUCKET}"),
    ("destination.bucket", "events-s3alias", f"'events-s3alias' {BUCKET}"),
    (
        "destination.bucket",
        "events--use1-az4--x-s3",
        "'events--use1-az4--x-s3' is a directory bucket, which is not supported; use a general purpose one",
    ),
    ("destination.bucket", "s3://events", "'s3://events' is more than a name; write 'events'"),
    (
        "destination.bucket",
        "s3://events/raw/",
        "'s3://events/raw/' is more than a name; write 'events'; 'raw/' belongs in object.prefix",
    ),
    (
        "destination.bucket",
        "arn:aws:s3:::events",
        "'arn:aws:s3:::events' is more than a name; write 'events'",
    ),
    (
        "destination.bucket",
        "events/raw",
        "'events/raw' holds a '/'; write the bucket alone and the folder in object.prefix",
    ),
    ("destination.bucket", "123456", "expected text, not the number 123456; put it in quotes: '123456'"),
    ("destination.bucket", "[events]", "expected text, not a list; put it in quotes"),
    ("destination.region", "us-east1", "'us-east1' is not an AWS region; write one such as 'us-east-1'"),
    (
        "destination.region",
        "us-east-1a",
        "'us-east-1a' is an availability zone; write the region 'us-east-1'",
    ),
    (
        "destination.region",
        "Frankfurt (Main)",
        "'Frankfurt (Main)' is not a region; write one such as 'us-east-1'",
    ),
    (
        "destination.endpoint",
        "minio:9000",
        "'minio:9000' is not a URL; write 'https://minio:9000' or 'http://minio:9000'",
    ),
    ("destination.endpoint", "s3://minio", "'s3://minio' is not a URL; write 'https://host:port'"),
    ("destination.endpoint", "https://", "'https://' has no host; write 'https://host:port'"),
    (
        "destination.endpoint",
        "http://minio:port",
        "'http://minio:port' is not a URL; write 'https://host:port'",
    ),
    ("destination.endpoint", "http://mi nio", "'http://mi nio' has no host; write 'https://host:port'"),
    ("destination.endpoint", "http://h/?x=1", "'http://h/?x=1' has a query; write 'https://host:port' alone"),
    (
        "destination.endpoint",
        "https://me:hunter2@minio",
        "holds an '@': credentials are never read from here; write 'https://host:port' alone",
    ),
    ("destination.endpoint", "http://minio/events", "holds the bucket's name; write 'http://minio'"),
    (
        "destination.endpoint",
        "https://events.s3.eu-central-1.amazonaws.com/",
        "holds the bucket's name; write 'https://s3.eu-central-1.amazonaws.com'",
    ),
    ("destination.addressingStyle", "path", "'path' is not one of Auto, Path, Virtual; did you mean 'Path'?"),
    (
        "destination.addressingStyle",
        "dns",
        "'dns' is not one of Auto, Path, Virtual; write Auto, Path or Virtual",
    ),
    ("destination.encryption", "AES256", "expected a mapping of type, kmsKeyId, not text"),
    ("destination.encryption.type", "KMS", "'KMS' is not one of AES256, aws:kms; write AES256 or aws:kms"),
    ("destination.encryption.kmsKeyId", "alias/events", "needs type 'aws:kms' beside it"),
    (
        "destination.encryption.kmsKeyId",
        "alias/my key",
        "'alias/my key' is not a KMS key; write its ARN, its id or 'alias/name'",
    ),
    (
        "destination.storageClass",
        "standard_ia",
        "'standard_ia' is not a storage class of Amazon S3; did you mean 'STANDARD_IA'?",
    ),
    (
        "destination.storageClass",
        "COLD",
        "'COLD' is not a storage class of Amazon S3; write one of STANDARD, STANDARD_IA, ONEZONE_IA,"
        " INTELLIGENT_TIERING, GLACIER_IR, GLACIER, DEEP_ARCHIVE, REDUCED_REDUNDANCY",
    ),
    (
        "destination.storageClass",
        "very cold",
        "'very cold' is not a storage class; write one such as 'STANDARD'",
    ),
    ("destination.path", "/objects", "both bucket and path are set; keep one"),
    # source
    (
        "source.host",
        "0.0.0.0:8888",
        "'0.0.0.0:8888' holds a port; write '0.0.0.0' here and the port in 'port'",
    ),
    ("source.host", "'[::]'", "'[::]': write the address without brackets: '::'"),
    ("source.host", "300.0.0.1", "'300.0.0.1' is not an address; write one such as '0.0.0.0' or '127.0.0.1'"),
    ("source.host", "http://x", "'http://x' is not an address; write one such as '0.0.0.0' or '127.0.0.1'"),
    ("source.port", "70000", "70000 is out of range; write a whole number from 0 to 65535"),
    ("source.maxRequestBytes", "32MB", "'32MB' is not a quantity; write '32Mi' (mebibytes) or '32M'"),
    ("source.maxRequestBytes", "1Gi", "'1Gi' is too large; write at most '512Mi'"),
    ("source.maxRequestBytes", "10", "'10' is too small; write at least '1Ki'"),
    (
        "source.maxRecordBytes",
        "64Mi",
        "a record can't be larger than a request; write at most maxRequestBytes, '32Mi'",
    ),
    ("source.keepAlive", "10", "10 has no unit; write '10s' for seconds"),
    ("source.keepAlive", "0s", "'0s' is too short; write at least '100ms'"),
    ("source.headerTimeout", "1d", "'1d' is not a duration; write '24h'"),
    ("source.bodyTimeout", "2h", "'2h' is too long; write at most '1h'"),
    ("source.maxConnections", "-1", "-1 is out of range; write a whole number from 1 to 1000000"),
    # partitioning
    (
        "partitioning.regex",
        r"'/^(?<path>[^\s]+) (?<content>.+)$/m'",
        r"'/^(?<path>[^\s]+) (?<content>.+)$/m' stands between slashes;"
        r" write '^(?P<path>[^\s]+) (?P<content>.+)$'; '.' matches line ends too",
    ),
    (
        "partitioning.regex",
        "'^(?P<content>.+)$'",
        r"names only what is stored; name the key too, as in '^(?P<path>\S+) (?P<content>.+)$'",
    ),
    ("partitioning.regex", "[a-z]", "expected text, not a list; put it in quotes"),
    ("partitioning.header", "X-Shard-Key", "regex and header are set; exactly one finds a record's key"),
    ("partitioning.urlPath", "'yes'", "expected true or false, not 'yes'"),
    ("partitioning.urlPath", "yes", "expected true or false, not 'yes'"),
    ("partitioning.urlPath", "1", "expected true or false, not the number 1"),
    ("partitioning.onInvalid", "reject", "'reject' is not one of Reject, Quarantine; did you mean 'Reject'?"),
    (
        "partitioning.maxPartitions",
        "10k",
        "expected a whole number, not '10k'; write a whole number from 1 to 1000000",
    ),
    # batch
    ("batch", "1h", "expected a mapping of window, maxBytes, maxAge, not text"),
    ("batch.window", "3600", "3600 has no unit; write '3600s' for seconds"),
    ("batch.window", "500ms", "'500ms' is too short; write at least '1s'"),
    ("batch.window", "1m0.5s", "'1m0.5s' is not a whole number of seconds; write '60s'"),
    ("batch.window", "48h", "'48h' is too long; write at most '24h'"),
    ("batch.maxBytes", "25MB", "'25MB' is not a quantity; write '25Mi' (mebibytes) or '25M'"),
    ("batch.maxBytes", "-1", "'-1' is negative; write a size such as '25Mi'"),
    ("batch.maxBytes", "", "has no value; write one or take the line out"),
    ("batch.maxAge", "25h", "'25h' is too long; write at most '24h'"),
    # object
    ("object.prefix", "{path}", "expected text, not a mapping; put it in quotes: '{path}'"),
    ("object.prefix", "'{customer}/'", "{customer} is not a field of the key, which has {path}"),
    ("object.prefix", "'{path}'", "must end in '/': the file name follows directly"),
    ("object.errorPrefix", "errors/", "needs {reason}: what is wrong tells the objects apart"),
    ("object.compression", "zip", "'zip' is not one of gzip, zstd, none; did you mean 'gzip'?"),
    ("object.compression", "lz4", "'lz4' is not one of gzip, zstd, none; write gzip, zstd or none"),
    ("object.compression", "false", "expected gzip, zstd or none, not the word false"),
    ("object.level", "6", "6 is out of range; gzip has levels 0 to 3"),
    ("object.format", "Parquet", "Parquet is planned, but not in this version; write 'Lines'"),
    ("object.format", "JSON", "'JSON' is not one of Lines; write Lines"),
    # buffer
    ("buffer.path", "~/buffer", "'~/buffer': '~' is not expanded; write the whole path"),
    ("buffer.path", "''", "'' is not a path; write a directory such as '/var/lib/s3sink'"),
    (
        "buffer.size",
        "256Mi",
        "'256Mi' is too small: 85% of it must hold 3 segments of 64Mi and 2 objects of 25Mi; write at least '285Mi'",
    ),
    ("buffer.size", "10 Gi", "'10 Gi' is not a quantity; write '10Gi' (gibibytes)"),
    ("buffer.highWatermarkPercent", "100", "100 is out of range; write a whole number from 10 to 99"),
    (
        "buffer.highWatermarkPercent",
        "85%",
        "expected a whole number, not '85%'; write a whole number from 10 to 99",
    ),
    ("buffer.durability", "fsync", "'fsync' is not one of Fsync, Relaxed; did you mean 'Fsync'?"),
    (
        "buffer.segmentBytes",
        "32Mi",
        "a segment must hold two requests of source.maxRequestBytes; write at least '64Mi'",
    ),
    ("buffer.memoryBytes", "many", f"'many' is not a quantity; {SIZE}"),
    # admin, uploads
    ("admin.port", "8888", "8888 is the data port's (source.port) too; write another one"),
    ("uploads.concurrency", "65", "65 is out of range; write a whole number from 1 to 64"),
    ("uploads.partSize", "1Mi", "'1Mi' is too small; write at least '5Mi'"),
    ("uploads.multipartThreshold", "6Gi", "'6Gi' is too large; write at most '5Gi'"),
    # fields that are not the ingester's
    ("bucket", "events", "unknown field; did you mean 'destination.bucket'?"),
    ("batches", "{}", "unknown field; did you mean 'batch'?"),
    ("batch.max_bytes", "25Mi", "unknown field; did you mean 'maxBytes'?"),
    ("batch.maxbytes", "25Mi", "unknown field; did you mean 'maxBytes'?"),
    ("batch.compression", "gzip", "unknown field; did you mean 'object.compression'?"),
    ("uploads.colour", "red", "unknown field; known here: concurrency, multipartThreshold, partSize"),
    ("replicas", "3", OPERATORS),
    ("podTemplate", "{}", OPERATORS),
    ("autoscaling", "{}", OPERATORS),
    ("buffer.storageClassName", "gp3", OPERATORS),
    ("buffer.whenScaled", "Retain", OPERATORS),
    ("buffer.whenDeleted", "Retain", OPERATORS),
    ("source.auth.secretRef", "{name: api-keys}", OPERATORS),
    ("source.tls.secretRef", "{name: certificate}", OPERATORS),
    ("source.auth.keys", "[a, b]", "unknown field; known here: path"),
    ("source.auth.apiKey", "hunter2", NO_CREDENTIALS),
    ("source.auth", "/etc/s3sink/auth", "expected a mapping of path, not text"),
    ("source.auth.path", "~/keys", "'~/keys': '~' is not expanded; write the whole path"),
    ("source.tls.path", "https://x", "'https://x' is a URL; write a directory such as '/var/lib/s3sink'"),
    ("source.firehose", "{enabled: true}", "not in this version; take it out"),
    # credentials
    ("destination.credentials", "{secretRef: {name: s3}}", NO_CREDENTIALS),
    ("destination.accessKeyId", "AKIAIOSFODNN7EXAMPLE", NO_CREDENTIALS),
    ("destination.secret_access_key", "hunter2", NO_CREDENTIALS),
    ("destination.sessionToken", "hunter2", NO_CREDENTIALS),
    ("source.password", "hunter2", NO_CREDENTIALS),
    ("destination.bucket", "AKIAIOSFODNN7EXAMPLE", NO_CREDENTIALS),
]

# settings that differ from GOOD (None: taken out), path, message
TOGETHER: list[tuple[dict[str, str | None], str, str]] = [
    (TO_DIRECTORY, "destination", "needs a bucket, or a path to write objects to a directory"),
    (
        {"destination.region": None},
        "destination.region",
        "needed for a bucket on AWS; write one such as 'us-east-1', or set AWS_REGION",
    ),
    ({"destination.bucket": None, "destination.path": "/objects"}, "destination.region", BUCKETS_ONLY),
    (
        {**TO_DIRECTORY, "destination.path": "/o", "destination.encryption.type": "AES256"},
        "destination.encryption",
        BUCKETS_ONLY,
    ),
    (
        {**TO_DIRECTORY, "destination.path": "/d/objects", "buffer.path": "/d/../d"},
        "destination.path",
        "'/d/objects' and buffer.path, '/d/../d', must not hold each other",
    ),
    (
        {"destination.bucket": "my.events", "destination.addressingStyle": "Virtual"},
        "destination.addressingStyle",
        "no certificate covers a bucket whose name holds a '.' in the host name; write 'Auto' or 'Path'",
    ),
    ({"partitioning.regex": None}, "partitioning", ONE_KEY),
    ({"partitioning.regex": "''"}, "partitioning", ONE_KEY),
    ({"partitioning.regex": None, "partitioning.jsonPointers": "{}"}, "partitioning", ONE_KEY),
    ({"partitioning.regex": None, "partitioning.urlPath": "false"}, "partitioning", ONE_KEY),
    (
        {"partitioning.urlPath": "true", "partitioning.header": "X-Key"},
        "partitioning",
        "regex and header and urlPath are set; exactly one finds a record's key",
    ),
    (
        {"partitioning.regex": None, "partitioning.jsonPointers": "/id"},
        "partitioning.jsonPointers",
        "expected a mapping such as {customer: /customer_id}, not text",
    ),
    (
        {"partitioning.regex": None, "partitioning.jsonPointers": "{a: /a, b: 1}"},
        "partitioning.jsonPointers",
        "'b': expected text, not the number 1, as in {customer: /customer_id}",
    ),
    (
        {**TO_DIRECTORY, "destination.path": "file:///objects"},
        "destination.path",
        "'file:///objects' is a URL; write a directory such as '/var/lib/s3sink'",
    ),
    (
        {"partitioning.regex": None, "partitioning.header": "Content-Type"},
        "partitioning.header",
        "'Content-Type' has a meaning of its own in HTTP; write one such as 'X-Shard-Key'",
    ),
    (
        {"partitioning.regex": None, "partitioning.jsonPointers": "{a: /a}", "object.prefix": "'{path}/'"},
        "object.prefix",
        "{path} is not a field of the key, which has {a}",
    ),
    (
        {"object.prefix": "'errors/{path}/'"},
        "object.errorPrefix",
        "object.prefix begins with 'errors/' too: data would be among the errors",
    ),
    (
        {"object.compression": "zstd", "object.level": "0"},
        "object.level",
        "0 is out of range; zstd has levels 1 to 19",
    ),
    (
        {"workers": "4", "buffer.size": "1Gi"},
        "buffer.size",
        "'1Gi' is too small: 85% of it must hold 3 segments of 64Mi and 2 objects of 25Mi for each worker;"
        " write at least '1139Mi'",
    ),
    (
        {"workers": "2", "source.port": "0"},
        "source.port",
        "several workers share one port, which 0 (any free one) can't be; write a port, or workers: 1",
    ),
    (
        {"source.maxRequestBytes": "128Mi", "buffer.segmentBytes": "128Mi"},
        "buffer.segmentBytes",
        "a segment must hold two requests of source.maxRequestBytes; write at least '256Mi'",
    ),
]


def settings(changes: dict[str, str | None]) -> str:
    """YAML of GOOD with these paths changed, added or (None) taken out."""
    values = {path: value for path, value in {**GOOD, **changes}.items() if value is not None}
    lines: list[str] = []
    groups: set[str] = set()
    for path, value in sorted(values.items()):
        *above, name = path.split(".")
        for depth in range(len(above)):
            group = ".".join(above[: depth + 1])
            if group not in groups:
                groups.add(group)
                lines.append(f"{'  ' * depth}{above[depth]}:")
        lines.append(f"{'  ' * len(above)}{name}: {value}")
    return "\n".join(lines)


def problems(text: str, env: dict[str, str] | None = None) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        loads(text, env or {})
    return list(caught.value.problems)


@pytest.mark.parametrize(("path", "value", "message"), FIELDS)
def test_a_bad_field(path: str, value: str, message: str) -> None:
    at = path if message not in AT_THE_GROUP else path.partition(".")[0]
    assert problems(settings({path: value})) == [Problem(at, message)]


@pytest.mark.parametrize(("changes", "path", "message"), TOGETHER)
def test_settings_that_don_t_go_together(changes: dict[str, str | None], path: str, message: str) -> None:
    assert problems(settings(changes)) == [Problem(path, message)]


AT_THE_GROUP = {
    "both bucket and path are set; keep one",
    "regex and header are set; exactly one finds a record's key",
}


def test_what_records_says_about_keys_is_passed_on() -> None:
    """``records`` owns these rules and words; its own tests have them."""
    for source, value in (("regex", "'('"), ("header", "'a b'"), ("jsonPointers", "{a: no-slash}")):
        [problem] = problems(settings({"partitioning.regex": None, f"partitioning.{source}": value}))
        assert problem.path == f"partitioning.{source}"


def test_every_problem_is_told_at_once() -> None:
    text = """
batch: {maxBytes: 25MB, window: 3600, maxBytes: 1}
destination: {buket: events, endpoint: minio, secretKey: hunter2}
partitioning: {regex: '(', header: X-Key}
object: {prefix: '{a}{b}', compression: zip}
buffer: {size: 1Mi}
replicas: 3
workers: many
"""
    told = problems(text, {"AWS_ACCESS_KEY_ID": "x"})
    assert [problem.path for problem in told] == [
        "batch.maxBytes",  # written twice
        "batch.maxBytes",
        "batch.window",
        "destination.secretKey",
        "destination.buket",
        "destination.endpoint",
        "partitioning.regex",
        "object.compression",
        "replicas",
        "workers",
        "partitioning",
        "object.prefix",
        "object.prefix",
    ]
    assert not any("hunter2" in str(problem) for problem in told)


def test_a_prefix_is_judged_though_the_key_is_not_known() -> None:
    told = problems(settings({"partitioning.regex": "'('", "object.prefix": "'{anything}'"}))
    assert [problem.path for problem in told] == ["partitioning.regex", "object.prefix"]
    assert told[1].message == "must end in '/': the file name follows directly"


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "~"])
def test_an_empty_file(text: str) -> None:
    assert problems(text) == [Problem("", "no settings; write at least destination: and partitioning:")]


@pytest.mark.parametrize(
    ("text", "kind"), [("- a", "a list"), ("settings.yaml", "text"), ("17", "the number 17")]
)
def test_not_a_mapping(text: str, kind: str) -> None:
    assert problems(text) == [Problem("", f"expected a mapping of settings, not {kind}")]


def test_a_whole_manifest_is_recognised() -> None:
    text = "apiVersion: s3sink.dev/v1alpha1\nkind: S3Sink\nmetadata: {name: events}\nspec: {replicas: 3}"
    assert problems(text) == [
        Problem("", "this is an S3Sink; an ingester's settings are what stands below its spec:")
    ]


def test_paths_written_flat() -> None:
    text = settings({}) + "\nbatch.maxBytes: 25Mi"
    assert problems(text) == [
        Problem(
            "batch.maxBytes",
            "unknown field; groups are nested: write batch: and, indented below it, maxBytes:",
        )
    ]


@pytest.mark.parametrize(
    ("env", "changes", "problem"),
    [
        (
            {"AWS_REGION": "us-east-1a"},
            {"destination.region": None},
            Problem("AWS_REGION", "'us-east-1a' is an availability zone; write the region 'us-east-1'"),
        ),
        (
            {"AWS_DEFAULT_REGION": "a b"},
            {"destination.region": None},
            Problem("AWS_DEFAULT_REGION", "'a b' is not a region; write one such as 'us-east-1'"),
        ),
        (
            {"AWS_ENDPOINT_URL_S3": "minio"},
            {},
            Problem("AWS_ENDPOINT_URL_S3", "'minio' is not a URL; write 'https://minio' or 'http://minio'"),
        ),
        ({"POD_NAME": "a/b"}, {}, Problem("POD_NAME", f"'a/b' {NAME}")),
        (
            {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"},
            {},
            Problem(
                "AWS_SECRET_ACCESS_KEY",
                "not set in the environment, though AWS_ACCESS_KEY_ID is; set both or neither",
            ),
        ),
    ],
)
def test_a_problem_in_the_environment_names_the_variable(
    env: dict[str, str], changes: dict[str, str | None], problem: Problem
) -> None:
    assert problems(settings(changes), env) == [problem]
