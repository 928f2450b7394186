"""What `helm test` runs in the operator's image: the API server has S3Sinks, and the operator says it is ready.

usage: ready.py URL-OF-READYZ [SECONDS-TO-WAIT]. Exits 0, or says what is missing and exits 1.
"""

import json
import os
import ssl
import sys
import time
import urllib.request
from pathlib import Path

ACCOUNT = Path(os.environ.get("SERVICE_ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))


def s3sinks_are_served() -> None:
    """Asks the API server. Raises OSError or ValueError, with what is wrong."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    url = f"https://{host}:{port}/apis/s3sink.dev/v1alpha1"
    token = (ACCOUNT / "token").read_text().strip()
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=10, context=trust) as reply:
        kinds = {resource["name"] for resource in json.load(reply)["resources"]}
    if not {"s3sinks", "s3sinks/status", "s3sinks/scale"} <= kinds:
        raise ValueError(f"{url} has only {sorted(kinds)}")


def operator_is_ready(url: str) -> None:
    """Asks the operator. Raises OSError, with what is wrong."""
    with urllib.request.urlopen(url, timeout=10):
        pass


def why_not(url: str) -> str:
    """Empty if all is well."""
    try:
        s3sinks_are_served()
    except (OSError, ValueError) as problem:
        return f"S3Sinks are not served (crds.install?): {problem}"
    try:
        operator_is_ready(url)
    except OSError as problem:
        return f"the operator is not ready ({url}): {problem}"
    return ""


def main(url: str, patience: float = 60) -> int:
    end, said = time.monotonic() + patience, ""
    while problem := why_not(url):
        if problem != said:
            sys.stderr.write(problem + "\n")
        said = problem
        if time.monotonic() > end:
            return 1
        time.sleep(2)
    sys.stdout.write("S3Sinks are served and the operator is ready\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(float, sys.argv[2:])))
