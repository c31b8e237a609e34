"""A classifier in integers: arranged for them, converted, and edited where the converter has no option."""
