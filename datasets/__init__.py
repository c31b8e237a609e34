"""What builds the embedded corpus; ``datasets/README.md`` says how."""
