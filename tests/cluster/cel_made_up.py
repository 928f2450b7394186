"""Values that Hypothesis makes up for fields with rules of their own: mostly wrong, some right, many nearly so."""

from __future__ import annotations

from hypothesis import strategies as st

TEMPLATES = st.lists(
    st.sampled_from(
        ["{path}", "{a}", "{b}", "{time:%Y}", "{time:%Y/%m}", "{time:%b}", "{time:.}", "{time}", "{reason}", "{", "}",
         "/", "/", "/", "a", "=", ".", "..", "#", "%", "é", "x" * 60, "errors"]
    ),
    max_size=8,
).map("".join)  # fmt: skip
REGEXES = st.lists(
    st.sampled_from(
        ["^", "$", "(?P<path>", "(?P<a>", "(?P<content>", "(?P<time>", "(?<path>", "(", ")", r"\S+", " ", ".+", "/",
         "[^ ", "]", "\\", "(?i)", "é", "*", "|", "a{2}"]
    ),
    min_size=1,
    max_size=9,
).map("".join)  # fmt: skip
NAMES = st.text(st.sampled_from("aB_-1é:. "), min_size=1, max_size=6) | st.sampled_from(
    ["time", "Host", "X-Key"]
)
POINTERS = st.text(st.sampled_from("/ab~01"), max_size=6).filter(bool)
BUCKETS = st.text(st.sampled_from("ab1.-_A/"), min_size=1, max_size=7) | st.sampled_from(
    ["xn--bucket", "bucket--x-s3", "bucket.mrap", "192.168.5.4", "a" * 64]
)
ENDPOINTS = st.lists(
    st.sampled_from(
        ["http://", "https://", "HTTPS://", "minio", "s3.eu-west-1.amazonaws.com", ".", "-", "_", ":9000", ":0",
         ":99999", "/", "/base", "events", "?q", "#f", "@", "[::1]", "10.0.0.1", " ", "é"]
    ),
    max_size=5,
).map("".join)  # fmt: skip

LABEL_NAMES = st.lists(
    st.sampled_from(
        ["a", "B", "9", "-", "_", ".", "/", " ", "é", "example.com/", "Example.com/", "n" * 61, "d" * 250]
    ),
    max_size=5,
).map("".join)  # fmt: skip
LABEL_VALUES = st.lists(
    st.sampled_from(["a", "B", "9", "-", "_", ".", "/", " ", "é", "v" * 61]), max_size=4
).map("".join)
