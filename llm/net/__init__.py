"""The network: errands over HTTP, what the environment says of it, how long to wait."""
