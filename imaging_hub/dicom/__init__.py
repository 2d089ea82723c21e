"""What the DICOM Standard says, as pure functions: no network, no database, no patient."""
