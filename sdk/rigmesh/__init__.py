"""The rigmesh SDK. Empty on purpose: import from its sub-packages."""
