# The same mounts as the Debian images: the data partition is mounted by gateway-data.service.
FILESEXTRAPATHS:prepend:gateway := "${GATEWAY_IMAGES}/common/overlay/etc:"
