"""PRISM pretraining at our scale: structure and sequence apart, by re-rendering."""
