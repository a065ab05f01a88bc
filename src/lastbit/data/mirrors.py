"""The usual mirrors of MNIST on the web."""

import http.client
import urllib.error
import urllib.request

from lastbit.data.canonical import CanonicalFile, gunzip, verify
from lastbit.errors import DataError

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
TIMEOUT_SECONDS = 10.0


def download(file: CanonicalFile, mirror: str) -> bytes:
    """Return the verified, uncompressed file from one mirror.

    Raises:
        DataError: the mirror cannot be reached, is too slow, or serves something else.
    """
    url = f"{mirror}{file.name}.gz"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as reply:  # noqa: S310 - https
            # Compression never makes these files longer, so a longer reply is something else.
            compressed = reply.read(file.size + 1)
    except urllib.error.HTTPError as error:
        error.close()  # it is also the reply, and holds the connection
        raise DataError(f"{error}", where=url) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)  # inside urllib's own error
        raise DataError(getattr(reason, "strerror", None) or f"{reason}", where=url) from error
    return verify(file, gunzip(file, compressed, url), url)
