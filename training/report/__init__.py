"""The report decoder: facts worded by a grammar, a small transformer that learns it, its scores."""
