"""Segmentations as DICOM keeps them: SEG and RTSTRUCT."""
