SUMMARY = "The update artifact of the legacy gateway"
DESCRIPTION = "A signed RAUC bundle in the verity format around the slot image."
HOMEPAGE = "https://rauc.io"
LICENSE = "Apache-2.0"

SRC_URI = ""

COMPATIBLE_MACHINE = "legacy-gateway"

inherit bundle

RAUC_BUNDLE_COMPATIBLE = "${MACHINE}"
RAUC_BUNDLE_VERSION = "${GATEWAY_VERSION}"
RAUC_BUNDLE_FORMAT = "verity"
RAUC_BUNDLE_SLOTS = "rootfs"
RAUC_SLOT_rootfs = "gateway-image"
RAUC_SLOT_rootfs[fstype] = "${GATEWAY_SLOT_FSTYPE}"
RAUC_SLOT_rootfs[rename] = "rootfs.img"
# The slot image in it is compressed already.
BUNDLE_ARGS = "--mksquashfs-args='-noI -noD -noF -noX'"

RAUC_KEY_FILE = "${GATEWAY_SIGNING_KEY}"
RAUC_CERT_FILE = "${GATEWAY_SIGNING_CERTIFICATE}"
