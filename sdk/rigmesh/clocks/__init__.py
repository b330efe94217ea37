"""How hosts agree on the time: probes, who answers them, and what follows from the answers."""
