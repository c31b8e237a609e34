"""Several workers train one model: each hears its rows of every batch, and all make the same step."""
