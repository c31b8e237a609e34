"""What every pipeline of Apache Beam here needs: files wherever it reads, and an engine that runs it."""
