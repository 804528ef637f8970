SUMMARY = "State scripts that the update artifact carries"
DESCRIPTION = "images/rpi4/state-scripts: a version is committed when it is well, not before."
HOMEPAGE = "https://mender.io"
SECTION = "base"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

GATEWAY_PARTS = "rpi4/state-scripts"

inherit gateway_files mender-state-scripts

COMPATIBLE_MACHINE = "rpi4"

do_compile() {
    install -d ${MENDER_STATE_SCRIPTS_DIR}
    install -m 0755 ${UNPACKDIR}/rpi4/state-scripts/* ${MENDER_STATE_SCRIPTS_DIR}/
}

ALLOW_EMPTY:${PN} = "1"
PACKAGE_ARCH = "${MACHINE_ARCH}"
