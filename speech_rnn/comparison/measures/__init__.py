"""What trained cells do with other sound than the clips that judge them."""
