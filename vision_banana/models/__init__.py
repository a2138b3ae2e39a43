"""The generator: its sizes, layers and text tower. The only room that imports flax."""
