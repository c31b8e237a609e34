"""What cells cost: in training, in bytes, on a device."""
