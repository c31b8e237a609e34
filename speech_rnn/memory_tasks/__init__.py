"""What a recurrent cell can remember, shown by tasks made for it: adding, copying, counting. Synthetic, all of them."""
