"""What is said of LSTM and GRU, and what became of it."""
