"""The update server of a scenario, and the proxy in front of it that spoils downloads."""
