"""Studies that the hub fetches itself: from a PACS by query/retrieve, from an Orthanc, from a folder."""
