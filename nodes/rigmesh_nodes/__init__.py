"""The node library: a module a theme or device, a class a node."""
