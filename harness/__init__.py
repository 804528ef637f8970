"""A harness that proves, before release, that an over-the-air update cannot brick a device."""
