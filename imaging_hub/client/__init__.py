"""Download a release and verify it: needs a URL and a token, and nothing of the service."""

from imaging_hub.client.download import DownloadSummary, download
from imaging_hub.client.verification import Verification, verify

__all__ = ["DownloadSummary", "Verification", "download", "verify"]
