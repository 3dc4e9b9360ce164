"""The commands of `llm openai`."""
