"""The OpenAI API and everything that speaks like it: chat, responses, completions, embeddings."""
