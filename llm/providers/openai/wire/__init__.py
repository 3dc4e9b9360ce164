"""The wire formats of the API, as pure functions on JSON values."""
