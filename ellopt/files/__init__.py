"""What is kept on disk, and text from outside: how it is read, written, locked and bounded."""
