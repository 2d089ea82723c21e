"""The look of a radiologist at what the engine made: queue, pictures, verdicts."""
