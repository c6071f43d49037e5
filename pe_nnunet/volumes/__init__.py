"""Images in and out: scans are found, read with their geometry, checked, and written."""
