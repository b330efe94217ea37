"""What runs inside a group's process."""
