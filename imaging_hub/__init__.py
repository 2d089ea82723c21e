"""imaging-hub: a medical imaging data service with a DICOM gateway."""

__version__ = "0.1.0"
