"""Local models: GGUF files answered in-process by llama.cpp, with no key and no server."""
