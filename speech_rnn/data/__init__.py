"""Where clips come from, which part each is in, how they are bent, how they become batches."""
