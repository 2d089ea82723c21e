"""The DICOM network and STOW-RS: which hospital sends, and the receiver that acknowledges only what is durable."""
