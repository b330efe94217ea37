"""The relay process of a daemon: hands its streams to other hosts."""
