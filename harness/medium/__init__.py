"""What a medium is to those who share it: losses and triggers, the write log, crash states."""
