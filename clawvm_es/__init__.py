"""clawvm_es: virtual memory for the context windows of LLM agents, as an event-sourced journaling engine."""
