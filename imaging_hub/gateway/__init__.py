"""The hospital's way in: DICOM network services and STOW-RS (identifying zone)."""
