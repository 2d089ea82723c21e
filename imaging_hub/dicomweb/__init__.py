"""DICOMweb over the archive: QIDO-RS searches and WADO-RS retrieves (PS3.18)."""
