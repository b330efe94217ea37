"""Who may do what from other machines: certificates, tokens, roles, limits and the audit log."""
