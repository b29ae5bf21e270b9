"""The observer: tools, their effects, needs, hints and plans, the same for recorded sessions and live harnesses."""
