"""Lambda triggers of the user pool: standard library only, each file zipped as it is."""
