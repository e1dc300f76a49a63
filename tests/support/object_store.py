"""A local S3 for tests, started once; pyarrow speaks to it as it would to a real one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest

both = pytest.mark.parametrize("place", ["local", "s3"], indirect=True)  # also in the quick suite
BUCKET = "sweeps"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def local_s3() -> Iterator[str]:
    """The URI of a bucket on a free port, with "{}" where the folder goes."""
    from moto.server import ThreadedMotoServer
    from pyarrow import fs

    with mock.patch.dict(os.environ, KEYS):
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        try:
            host, port = server.get_host_and_port()
            files = fs.S3FileSystem(endpoint_override=f"{host}:{port}", scheme="http", allow_bucket_creation=True)
            files.create_dir(BUCKET)
            yield f"s3://{BUCKET}/{{}}?endpoint_override={host}:{port}&scheme=http"
        finally:
            server.stop()
