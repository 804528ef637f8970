"""From a power cut or another fault to a verdict."""
