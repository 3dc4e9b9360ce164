"""Providers of models; each is written as a plugin from elsewhere would be."""
