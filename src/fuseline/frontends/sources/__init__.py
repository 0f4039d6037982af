"""Where models come from: a zoo by name, a configuration, a factory in a file."""
