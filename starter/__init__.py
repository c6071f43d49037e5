"""Makes the model that ships with the package, from rendered scans; for maintainers, not part of the wheel.

    python -m starter RENDERED... --work FOLDER

`vary` draws appearances of the rendered scans, `make` converts, plans and trains, `pack` calibrates and ships.
"""
