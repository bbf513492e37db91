"""What generators share whose engine is a server: fleets, managed processes, weights on a shared folder."""
