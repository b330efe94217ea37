"""What crosses a process or machine boundary."""
