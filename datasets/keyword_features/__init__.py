"""Log-mel features of spoken words; ``README.md`` says how they are made and read."""
