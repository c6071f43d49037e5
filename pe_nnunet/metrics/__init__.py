"""Metrics of voxels, emboli and scans: pure functions of arrays and of scored cases."""
