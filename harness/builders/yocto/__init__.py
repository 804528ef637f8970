"""Yocto: builds of a kas project, and deploy folders of any build as releases."""
