SUMMARY = "The data partition of a new device"
DESCRIPTION = "An empty ext4 as the device makes it anew (/usr/lib/gateway/data), and room behind it for the kept copies."
HOMEPAGE = "https://docs.yoctoproject.org"
SECTION = "base"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

DEPENDS = "e2fsprogs-native"

SRC_URI = ""

inherit deploy nopackages

INHIBIT_DEFAULT_DEPS = "1"
do_configure[noexec] = "1"
do_install[noexec] = "1"

do_compile() {
    rm -f ${B}/gateway-data.img
    truncate -s $(expr ${GATEWAY_DATA_MIB} - ${GATEWAY_KEEP_MIB})M ${B}/gateway-data.img
    export E2FSPROGS_FAKE_TIME=${REPRODUCIBLE_TIMESTAMP_ROOTFS}
    mke2fs -q -F -t ext4 -L data -U ${GATEWAY_DATA_UUID} -m 0 -b 4096 -O ^orphan_file,^metadata_csum_seed \
        -E hash_seed=${GATEWAY_DATA_UUID},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0 ${B}/gateway-data.img
    truncate -s ${GATEWAY_DATA_MIB}M ${B}/gateway-data.img
}

do_deploy() {
    install -m 0644 ${B}/gateway-data.img ${DEPLOYDIR}/
}
addtask deploy after do_compile before do_build

PACKAGE_ARCH = "${MACHINE_ARCH}"
