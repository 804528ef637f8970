SUMMARY = "A slot of the gateway, and the disk that it is flashed with"
DESCRIPTION = "The root file system with the gateway's own programs, an update client and a kernel, as a squashfs that is \
never written, and the whole disk of a new device."
HOMEPAGE = "https://docs.yoctoproject.org"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

inherit gateway_image

IMAGE_FEATURES += "read-only-rootfs ssh-server-openssh"
IMAGE_INSTALL = " \
    packagegroup-core-boot \
    ca-certificates \
    gateway-programs \
    gateway-${GATEWAY_CLIENT} \
    "
IMAGE_LINGUAS = ""

GATEWAY_KERNEL = "${KERNEL_IMAGETYPE}-${MACHINE}.bin"
GATEWAY_KERNEL:rpi4 = "Image.gz-${MACHINE}.bin"
GATEWAY_DEVICETREES = ""
GATEWAY_DEVICETREES:rpi4 = "bcm2711-rpi-4-b.dtb"
