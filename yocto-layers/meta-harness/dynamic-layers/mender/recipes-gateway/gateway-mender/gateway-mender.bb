SUMMARY = "Mender's client as the gateway's programs use it"
DESCRIPTION = "mender-update, driven by command; state scripts come with the update artifact."
HOMEPAGE = "https://mender.io"
LICENSE = "Apache-2.0"

PACKAGE_ARCH = "${MACHINE_ARCH}"

inherit packagegroup

RDEPENDS:${PN} = " \
    libubootenv-bin \
    mender-update \
    "
