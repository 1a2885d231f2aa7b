"""Long proofs, by name, outside continuous integration: `python -m proofs NAME`."""
