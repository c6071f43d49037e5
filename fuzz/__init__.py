"""Mutated files over our readers: `make fuzz`, or `python -m fuzz` in the repository's root.

A case is a small valid file or folder with some changes that know its format (`mutate_*.py`), all from a seed. It is
read in a process of its own, and what comes of it is compared with what an independent reader gives (`check_*.py`). A
case fails by an error that is none of ours, a crash, more than 10 s or 3 GB, or values that differ.
"""
