"""Images that others built: a release is made of a disk image, an artifact and a profile."""
