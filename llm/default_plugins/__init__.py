"""The plugins that come with `llm`; they use only what any other plugin may use."""
