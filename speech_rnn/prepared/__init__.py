"""Features made beforehand, by Apache Beam, in shards that are learned from as a stream."""
