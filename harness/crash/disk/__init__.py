"""What lies on a disk: ext4, its journal, the real readers of both."""
