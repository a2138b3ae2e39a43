"""Text on the host: prompts to token ids. Runs in data workers, never imports JAX."""
