"""Review of de-identified series by a radiologist: queue, images, differences and verdicts."""
