SUMMARY = "The gateway's initramfs: busybox and the first process"
DESCRIPTION = "An archive of busybox and images/common/initramfs; small on purpose: it is read at each boot of a slot."
HOMEPAGE = "https://docs.yoctoproject.org"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

inherit core-image

PACKAGE_INSTALL = "busybox gateway-init"
IMAGE_FEATURES = ""
IMAGE_LINGUAS = ""
# As `INITRAMFS_IMAGE` would have it: no suffix, an archive.
IMAGE_NAME_SUFFIX = ""
IMAGE_FSTYPES = "cpio.gz"
IMAGE_ROOTFS_SIZE = "8192"
IMAGE_ROOTFS_EXTRA_SPACE = "0"
NO_RECOMMENDATIONS = "1"
