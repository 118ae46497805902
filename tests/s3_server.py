"""S3 on this machine, over the real protocol: moto's server speaks it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from moto.server import ThreadedMotoServer

BUCKET = "fairlead"


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Run a server with one empty bucket; AWS's variables name it, here and in what is yielded."""
    import boto3

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    try:
        with mock.patch.dict(os.environ, variables):
            boto3.client("s3").create_bucket(Bucket=BUCKET)
            yield variables
    finally:
        server.stop()
