"""Lesions painted into anatomies, and the pack that segments them from any set of sequences."""
