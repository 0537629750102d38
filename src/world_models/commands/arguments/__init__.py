"""What each command takes; nothing here loads a command."""
