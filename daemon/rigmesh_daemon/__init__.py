"""The daemon of a machine: hosts nodes in supervised processes."""
