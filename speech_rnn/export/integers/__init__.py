"""A classifier in integers: arranged for eight bits, converted, and edited where the converter has no option."""
