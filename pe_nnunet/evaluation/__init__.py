"""Metrics of voxels, emboli and scans."""
