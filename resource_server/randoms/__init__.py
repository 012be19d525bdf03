"""Random numbers that a user owns: the resource to replace by your own."""
