"""The client of a hub: downloads and verifies a release with a URL and a token, without the service's code."""

from imaging_hub.client.download import DownloadSummary, download
from imaging_hub.client.verification import Verification, verify

__all__ = ["DownloadSummary", "Verification", "download", "verify"]
