"""Long proofs, by name, outside continuous integration: `make proof`, or `python -m proofs NAME`."""
