"""DICOM series: headers, slices, pixels and stacks of them."""
