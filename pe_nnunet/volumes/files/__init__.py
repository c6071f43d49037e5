"""Volume files: NIfTI, NRRD, MHA and MATLAB arrays."""
