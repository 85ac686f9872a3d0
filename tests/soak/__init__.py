"""The soak: hours of everything that an operator, a developer and bad luck do to a bridge, in minutes, ending in a proof."""
