"""Building blocks, one small file each."""
