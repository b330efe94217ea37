"""The page: a rig in a browser. A client of the daemons, in a process of its own."""
