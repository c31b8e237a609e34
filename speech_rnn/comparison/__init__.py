"""LSTM or GRU: the experiment, what it found, and how sure that is."""
