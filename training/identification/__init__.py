"""Which sequence, which body part, how old: scans, features and small models for the identify pack."""
