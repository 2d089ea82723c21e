"""Retrieval of studies that the hub fetches itself: from a PACS, an Orthanc or a folder."""
