"""Boards that labgrid's stock drivers drive: on a desk, or in a rack behind a coordinator."""
